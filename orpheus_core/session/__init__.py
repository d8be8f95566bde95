"""Sessions: a model made ready to run, with ONNX Runtime's conventions and Orpheus's insight."""

from orpheus_core.session.binding import IOBinding
from orpheus_core.session.explanation import Explanation, PlanRow
from orpheus_core.session.options import SessionOptions
from orpheus_core.session.profile import Profile
from orpheus_core.session.session import InferenceSession, NodeArg, Stats
from orpheus_core.session.tuning import TuneReport, tune

__all__ = [
    "Explanation",
    "IOBinding",
    "InferenceSession",
    "NodeArg",
    "PlanRow",
    "Profile",
    "SessionOptions",
    "Stats",
    "TuneReport",
    "tune",
]
