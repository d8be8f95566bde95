"""Attributes that take one of a few words or numbers; the words are those of the operator pages."""

from __future__ import annotations

from typing import Any

from orpheus_core.graph import Node

_AUTO_PAD = ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")
_DIRECTION = ("forward", "reverse", "bidirectional")
_REDUCTION = ("none", "sum", "mean")
_SCATTER = ("none", "add", "mul", "max", "min")
_BIT = (0, 1)

CHOICES: dict[str, dict[str, tuple[Any, ...]]] = {
    "AveragePool": {"auto_pad": _AUTO_PAD, "ceil_mode": _BIT, "count_include_pad": _BIT},
    "BitShift": {"direction": ("LEFT", "RIGHT")},
    "Conv": {"auto_pad": _AUTO_PAD},
    "ConvInteger": {"auto_pad": _AUTO_PAD},
    "ConvTranspose": {"auto_pad": _AUTO_PAD},
    "DepthToSpace": {"mode": ("DCR", "CRD")},
    "GRU": {"direction": _DIRECTION, "layout": _BIT},
    "Gelu": {"approximate": ("none", "tanh")},
    "GridSample": {
        "mode": ("linear", "nearest", "cubic"),
        "padding_mode": ("zeros", "border", "reflection"),
        "align_corners": _BIT,
    },
    "LSTM": {"direction": _DIRECTION, "layout": _BIT},
    "LpNormalization": {"p": (1, 2)},
    "LpPool": {"auto_pad": _AUTO_PAD, "ceil_mode": _BIT},
    "MaxPool": {"auto_pad": _AUTO_PAD, "ceil_mode": _BIT, "storage_order": _BIT},
    "MaxRoiPool": {},
    "Mod": {"fmod": _BIT},
    "NegativeLogLikelihoodLoss": {"reduction": _REDUCTION},
    "NonMaxSuppression": {"center_point_box": _BIT},
    "Pad": {"mode": ("constant", "reflect", "edge", "wrap")},
    "QLinearConv": {"auto_pad": _AUTO_PAD},
    "RNN": {"direction": _DIRECTION, "layout": _BIT},
    "Resize": {
        "mode": ("nearest", "linear", "cubic"),
        "coordinate_transformation_mode": (
            "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric",
            "tf_crop_and_resize", "tf_half_pixel_for_nn",
        ),
        "nearest_mode": ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"),
        "keep_aspect_ratio_policy": ("stretch", "not_larger", "not_smaller"),
        "antialias": _BIT,
    },
    "RoiAlign": {"mode": ("avg", "max"), "coordinate_transformation_mode": ("half_pixel", "output_half_pixel")},
    "ScatterElements": {"reduction": _SCATTER},
    "ScatterND": {"reduction": _SCATTER},
    "SoftmaxCrossEntropyLoss": {"reduction": _REDUCTION},
    "SpaceToDepth": {"mode": ("DCR", "CRD")},
    "TfIdfVectorizer": {"mode": ("TF", "IDF", "TFIDF")},
    "TopK": {"largest": _BIT, "sorted": _BIT},
}  # fmt: skip


def check_choices(node: Node) -> str | None:
    """What is wrong with an attribute of the node that has a fixed set of values, or None."""
    for name, allowed in CHOICES.get(node.op, {}).items():
        value = node.attributes.get(name)
        if value is not None and value not in allowed:
            return f"attribute {name!r} is {value!r}; {node.op}-{node.version} takes {', '.join(map(repr, allowed))}"
    return None
