"""Chains of elementwise operators that differ in types, shapes, operands and in what interrupts them."""

from __future__ import annotations

from typing import Any

import onnx.parser

#: What a model reads and gives, its nodes, and the lengths of the chains that they make.
CHAINS = {
    "flat": ("float[3,50] x", "float[3,50] y", "a = Sin(x) b = Relu(a) y = Exp(b)", [3]),
    "operands": (
        "float[3,50] x, float[3,50] s, float[1] t", "float[3,50] y",
        "a = Mul(x, s) b = Add(a, t) c = Tanh(b) y = Sub(c, s)", [4],
    ),
    "broadcast": ("float[3,50] x, float[50] s, float[3,1] t", "float[3,50] y",
                  "a = Mul(x, s) b = Add(a, t) y = Abs(b)", [3]),
    "broadcast-half": ("float16[2,7,5,3] x, float16[2,1,5,1] s, float16[7,1,3] t", "float16[2,7,5,3] y",
                       "a = Add(x, s) b = Sigmoid(a) y = Mul(b, t)", [3]),
    "ragged": ("float16[257] x, float16[257] s", "float16[257] y", "a = Exp(x) b = Add(a, s) y = Neg(b)", [3]),
    "bfloat": ("bfloat16[4,9] x, bfloat16[4,9] s", "bfloat16[4,9] y", "a = Exp(x) b = Div(a, s) y = Neg(b)", [3]),
    "types": ("float[5,33] x, float[5,33] s", "float[5,33] y",
              "a = Cast<to=10>(x) b = Relu(a) c = Cast<to=1>(b) y = Mul(c, s)", [4]),
    "conditions": ("float[5,33] x, float[33] s, float[5,33] t, float[1] u", "float[5,33] y",
                   "a = Greater(x, s) b = Not(a) y = Where(b, t, u)", [3]),
    "integers": ("int32[5,4] x, int32[5,1] s", "int32[5,4] y", "a = Add(x, s) y = Relu(a)", [2]),
    "grows": ("float[5,1] x, float[5,6] s", "float[5,6] y", "a = Sin(x) b = Add(a, s) c = Cos(b) y = Neg(c)", [3]),
    "first-grows": ("float[1,6] x, float[5,6] s", "float[5,6] y", "a = Add(x, s) b = Cos(a) y = Neg(b)", [3]),
    "parameters": ("float[9,7] x", "float[9,7] y",
                   "a = HardSigmoid<alpha=0.3>(x) b = LeakyRelu<alpha=0.25>(a) y = Elu<alpha=2.0>(b)", [3]),
    "read-twice": ("float[9,7] x", "float[9,7] y", "a = Sin(x) b = Exp(a) c = Neg(b) y = Add(c, b)", [2, 2]),
    "shown": ("float[9,7] x", "float[9,7] y, float[9,7] b", "a = Sin(x) b = Exp(a) c = Neg(b) y = Cos(c)", [2, 2]),
    "second": ("float[9,7] x, float[9,7] s", "float[9,7] y", "a = Sin(x) b = Sub(s, a) y = Exp(b)", [2]),
    "quantized": (
        "float[3,7] x, float[7] s, int8[7] z, uint8[1] u, float[1] t", "float[3,7] y",
        "a = QuantizeLinear<axis=1>(x, s, z) b = DequantizeLinear<axis=1>(a, s, z) c = Relu(b)"
        " d = QuantizeLinear(c, t, u) e = DequantizeLinear(d, t, u) y = Neg(e)", [6],
    ),
    "scalar": ("float x", "float y", "a = Exp(x) y = Neg(a)", [2]),
    "empty": ("float[0,3] x", "float[0,3] y", "a = Exp(x) y = Neg(a)", [2]),
    "long": ("float[31] x", "float[31] y",
             "v0 = Sin(x) " + " ".join(f"v{i + 1} = Cos(v{i})" for i in range(27)) + " y = Sin(v27)", [12, 12, 5]),
    "between": ("float[4,6] x", "float[4,6] y",
                "a = Sin(x) b = Exp(a) c = Softmax(b) d = Cos(c) y = Neg(d)", [2, 2]),
    "moved": ("float[4,6] x", "float[6,4] y", "a = Sin(x) b = Transpose<perm=[1,0]>(a) c = Exp(b) y = Neg(c)", [2]),
}  # fmt: skip


def model(name: str) -> Any:
    reads, gives, nodes, _ = CHAINS[name]
    return onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["" : 21]> agraph ({reads}) => ({gives}) {{ {nodes} }}'
    )
