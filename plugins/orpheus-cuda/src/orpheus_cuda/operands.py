"""Where operators of bytes have their operands. Nothing here imports a kernel."""

from __future__ import annotations

_QUANTIZED = {"x_scale": 1, "x_zero": 2, "w": 3, "w_scale": 4, "w_zero": 5, "y_scale": 6, "y_zero": 7}
_INTEGER = {"w": 1, "x_zero": 2, "w_zero": 3}
#: By operator: the index of an input.
AT = {
    "QLinearConv": {**_QUANTIZED, "bias": 8}, "QLinearMatMul": _QUANTIZED, "ConvInteger": _INTEGER,
    "MatMulInteger": _INTEGER,
}  # fmt: skip
