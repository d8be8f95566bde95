"""The layers of a loaded model and what each takes: by Orpheus's profile, or as another engine tells."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from orpheus_core.process import ChildError
from orpheus_core.types import Array
from orpheus_experiments.profile.layers import profile_layers
from orpheus_experiments.trial.engines import Loaded, OrpheusLoaded
from orpheus_experiments.trial.record import Layer

__all__ = ["told_layers"]

# So long is profiled, in so many runs.
_SECONDS = 2.0
_LEAST, _MOST = 3, 50


def told_layers(loaded: Loaded, feeds: Mapping[str, Array]) -> list[Layer]:
    """Each layer in the order of execution; ChildError of the kind ``refused`` where the engine does not tell them."""
    call = loaded.bind(feeds)
    call()
    begun = time.perf_counter()
    call()
    runs = max(_LEAST, min(_MOST, math.floor(_SECONDS / (time.perf_counter() - begun))))
    if isinstance(loaded, OrpheusLoaded):
        found = profile_layers(loaded.session, feeds, runs=runs).layers
        return [Layer(x.node, x.op, x.kernel, x.seconds, x.macs, x.nbytes) for x in found]
    peer: Any = loaded
    tell = getattr(peer.engine, "layers", None)
    rows = tell([feeds[i.name] for i in peer.inputs], runs) if tell is not None else ()
    if not rows:
        raise ChildError("refused", f"peer:{peer.spec.name} does not tell its layers")
    return [Layer(*row) for row in rows]
