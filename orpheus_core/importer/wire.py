"""A look at the protobuf's framing before it is parsed: how many messages would parsing create?

A message of two bytes becomes an object of a hundred or more (six hundred for a tensor), so the size of a file does not
bound the memory that parsing it takes. Only the nesting of length-delimited fields is followed; contents are skipped.
"""

from __future__ import annotations

from orpheus_core.errors import LimitError, ParseError
from orpheus_core.importer.limits import Limits

# Below this size even the worst file parses into little memory.
_SMALL = 1 << 18

# message -> field number -> message of that field; fields that hold none are left out.
_NESTED: dict[str, dict[int, str]] = {
    "Model": {7: "Graph", 8: "Leaf", 14: "Leaf", 20: "Training", 25: "Function"},
    "Graph": {
        1: "Node", 5: "Tensor", 11: "ValueInfo", 12: "ValueInfo", 13: "ValueInfo",
        14: "Leaf", 15: "Sparse", 16: "Leaf",
    },
    "Node": {1: "Leaf", 2: "Leaf", 5: "Attribute", 9: "Leaf"},
    "Attribute": {
        5: "Tensor", 6: "Graph", 9: "Leaf", 10: "Tensor", 11: "Graph", 14: "Type", 15: "Type",
        22: "Sparse", 23: "Sparse",
    },
    "Tensor": {6: "Leaf", 13: "Leaf", 16: "Leaf"},
    "Sparse": {1: "Tensor", 2: "Tensor"},
    "Function": {
        4: "Leaf", 5: "Leaf", 6: "Leaf", 7: "Node", 9: "Leaf", 11: "Attribute", 12: "ValueInfo", 14: "Leaf",
    },
    "Training": {1: "Graph", 2: "Graph", 3: "Leaf", 4: "Leaf"},
    "ValueInfo": {2: "Type", 4: "Leaf"},
    "Type": {1: "TensorType", 4: "ElementType", 5: "MapType", 8: "TensorType", 9: "ElementType"},
    "TensorType": {2: "Shape"},
    "ElementType": {1: "Type"},
    "MapType": {2: "Type"},
    "Shape": {1: "Leaf"},
    "Leaf": {},
}  # fmt: skip


def count_messages(data: bytes, limits: Limits) -> None:
    """Raise LimitError when ``data`` holds more than ``limits.messages`` messages and strings, ParseError when it
    is not framed as a protobuf.
    """
    if len(data) <= _SMALL:
        return
    count = 0
    position, end, kind = 0, len(data), "Model"
    outer: list[tuple[int, int, str]] = []
    while True:
        if position >= end:
            if position > end:
                raise ParseError(f"cut short or damaged at byte {end}")
            if not outer:
                return
            position, end, kind = outer.pop()
            continue
        tag = data[position]
        position += 1
        if tag >= 0x80:
            tag, position = _varint(data, position - 1, end)
        wire = tag & 7
        if wire == 0:
            _, position = _varint(data, position, end)
        elif wire == 1:
            position += 8
        elif wire == 5:
            position += 4
        elif wire == 2:
            length, position = _varint(data, position, end)
            if position + length > end:
                raise ParseError(f"cut short or damaged at byte {position}")
            inner = _NESTED[kind].get(tag >> 3)
            if inner is not None:
                count += 4 if inner == "Tensor" else 1
                if count > limits.messages:
                    raise LimitError(f"the model holds more than {limits.messages} protobuf messages")
            if inner is not None and inner != "Leaf":
                outer.append((position + length, end, kind))
                end, kind = position + length, inner
            else:
                position += length
        else:
            raise ParseError(f"not an ONNX model: wire type {wire} at byte {position}")


def _varint(data: bytes, position: int, end: int) -> tuple[int, int]:
    result = shift = 0
    while position < end:
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
        shift += 7
        if shift > 63:
            break
    raise ParseError(f"cut short or damaged at byte {position}")
