"""Computing single nodes at compile time with the kernels of the host's backends."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from orpheus_core.errors import OrpheusError
from orpheus_core.graph import Node
from orpheus_core.plan.bind import own
from orpheus_core.selection.candidates import has_subgraph, problem_of
from orpheus_core.selection.invoke import function_of, keywords
from orpheus_core.selection.options import SelectionOptions
from orpheus_core.selection.selector import choices_for
from orpheus_core.types import CPU, Array, TensorType, type_of_array


class KernelEvaluator:
    """Runs one node on constant inputs; what constant folding asks."""

    def __init__(self, options: SelectionOptions) -> None:
        host = tuple(b for b in options.backends if b.device == CPU)
        self.options = (
            None if not host else replace(options, backends=host, named=None, pins={}, policy="cost")
        )

    def evaluate(self, node: Node, inputs: tuple[Array | None, ...]) -> tuple[Array, ...] | None:
        """The outputs, or None when no host kernel of the short form computes the node on these inputs."""
        if self.options is None or has_subgraph(node):
            return None
        problem = problem_of(node, threads=self.options.threads)
        for scored in choices_for(node, self.options).scored:
            kernel = scored.candidate.kernel
            if kernel.run is None or scored.candidate.backend.name == "core":
                continue
            words = keywords(scored.candidate, problem)
            if kernel.writes_out:
                words["out"] = (None,) * len(node.outputs)
            try:
                with np.errstate(all="ignore"):
                    result = function_of(kernel.run)(*inputs, **words)
            except (OrpheusError, ArithmeticError, LookupError, TypeError, ValueError, MemoryError):
                return None  # the run will say which node is at fault
            return _outputs(node, result)
        return None


def _outputs(node: Node, result: object) -> tuple[Array, ...] | None:
    results = result if type(result) is tuple else (result,)
    arrays = []
    for value, got in zip(node.outputs, results):
        if value is None:
            continue
        dtype = value.type.dtype.numpy if isinstance(value.type, TensorType) else None
        array = own(got, dtype, None)
        if not isinstance(array, np.ndarray):
            return None
        fits = not isinstance(value.type, TensorType) or value.type.dtype == type_of_array(array).dtype
        if not fits:
            return None
        # A view would keep its whole base alive, or be a window on a caller's array.
        arrays.append(array if array.base is None and array.flags.c_contiguous else array.copy())
    return tuple(arrays)
