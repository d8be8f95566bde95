"""One layer under study: every implementation of it, in place, on the values that it meets in its network."""

from orpheus_experiments.layer.network import LayerChoice, NetworkStudy, study_network
from orpheus_experiments.layer.rows import ConversionFact, KernelRow
from orpheus_experiments.layer.study import LayerStudy, study_layer
from orpheus_experiments.layer.written import WrittenLayer, parse_layer

__all__ = [
    "ConversionFact", "KernelRow", "LayerChoice", "LayerStudy", "NetworkStudy", "WrittenLayer", "parse_layer",
    "study_layer", "study_network",
]  # fmt: skip
