"""Node data for Google's Model Explorer: values laid over the boxes of a graph that it shows.

The file maps the graph's id (the ONNX graph's name, as its ONNX adapter takes it) to one set of values by node, with a
gradient over them; Model Explorer matches a node by its id, which for ONNX is the node's name, or by the name of one
of its results. So the values fit the annotated model, and the original one wherever a name is still the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["node_data", "save_node_data"]

#: From the least to the largest value: white to red, text staying readable.
GRADIENT = (
    {"stop": 0, "bgColor": "#ffffff", "textColor": "#000000"},
    {"stop": 0.5, "bgColor": "#ffd180", "textColor": "#000000"},
    {"stop": 1, "bgColor": "#d32f2f", "textColor": "#ffffff"},
)


def node_data(graph: str, values: Mapping[str, float]) -> dict[str, Any]:
    """One set of values, by node name, of the graph called ``graph``."""
    return {
        graph: {"results": {name: {"value": v} for name, v in values.items()}, "gradient": list(GRADIENT)}
    }


def save_node_data(path: Path, graph: str, values: Mapping[str, float]) -> None:
    """Write values by node name."""
    path.write_text(json.dumps(node_data(graph, values), indent=2), encoding="utf-8")
