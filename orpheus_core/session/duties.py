"""What a session's executables call back.

These hold nothing of the session, so that a session that nobody has any more is freed at once, with its weights, and
not when Python next looks for cycles.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from orpheus_core.errors import LimitError
from orpheus_core.graph import Graph
from orpheus_core.passes import Evaluator, simplify
from orpheus_core.plan.plan import Plan
from orpheus_core.plugin import PassSpec
from orpheus_core.selection.options import SelectionOptions
from orpheus_core.session.options import SessionOptions
from orpheus_core.session.threads import leading, settings_of

_log = logging.getLogger("orpheus")


class Simplifier:
    """Runs the passes that the session's settings ask for."""

    def __init__(self, settings: SessionOptions, extra: Sequence[PassSpec], evaluator: Evaluator) -> None:
        self._settings = settings
        self._extra = extra
        self._evaluator = evaluator

    def __call__(self, graph: Graph) -> Graph:
        """The simplified graph; LimitError when memory ends."""
        try:
            return simplify(
                graph,
                enable=self._settings.enable_passes,
                disable=self._settings.disable_passes,
                extra=self._extra,
                evaluator=self._evaluator,
            )
        except MemoryError as error:
            raise LimitError(f"out of memory while the model was simplified: {error}".rstrip(": ")) from None


class PlanNotes:
    """Told of every plan: notes who leads, and says once what runs where.

    ``lead`` is the backend that computes most of the first plan, ``settings`` the thread counts that follow from it.
    """

    def __init__(self, options: SelectionOptions) -> None:
        self.lead: str | None = None
        self.settings = settings_of(options.backends, options.threads)
        self._options = options
        self._told: set[str] = set()

    def __call__(self, plan: Plan) -> None:
        """One line, a warning when a node is with a backend that was not asked for."""
        selection = plan.selection
        if self.lead is None:
            self.lead = leading(d.candidate.backend.name for d in selection.decisions)
            self.settings = settings_of(self._options.backends, self._options.threads, lead=self.lead)
        if selection.summary in self._told:
            return
        self._told.add(selection.summary)
        fell_back = selection.fallbacks and self._options.fallback == "warn"
        _log.log(logging.WARNING if fell_back else logging.INFO, "%s", selection.summary)
