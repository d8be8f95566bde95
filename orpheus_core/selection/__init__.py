"""Selection: which kernel computes each node, chosen by pins, policy, feasibility and cost, and explained."""

from orpheus_core.selection.cache import MeasurementCache
from orpheus_core.selection.candidates import Candidate
from orpheus_core.selection.decision import Decision, Selection
from orpheus_core.selection.options import SelectionOptions
from orpheus_core.selection.refusal import Refusal, RefusalCode
from orpheus_core.selection.selector import select

__all__ = [
    "Candidate",
    "Decision",
    "MeasurementCache",
    "Refusal",
    "RefusalCode",
    "Selection",
    "SelectionOptions",
    "select",
]
