"""Convolutions and products of bytes whose tiles and borders do not divide."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx.parser

#: Operator with attributes, the shapes of x and of the weights, types of x, of the weights and of y.
LAYERS: tuple[tuple[str, tuple[int, ...], tuple[int, ...], str, str, str], ...] = (
    ("ConvInteger<pads=[1,1,1,1]>", (1, 20, 9, 7), (40, 20, 3, 3), "uint8", "int8", "int32"),
    ("ConvInteger<pads=[1,0,2,1],strides=[2,1]>", (2, 64, 6, 5), (33, 64, 3, 2), "int8", "uint8", "int32"),
    ("ConvInteger<group=3>", (1, 6, 9, 9), (9, 2, 3, 3), "uint8", "uint8", "int32"),
    ("ConvInteger<pads=[2,2]>", (2, 5, 40), (7, 5, 3), "int8", "int8", "int32"),
    ("ConvInteger", (1, 1024, 3, 3), (16, 1024, 1, 1), "uint8", "int8", "int32"),  # cut along K
    ("MatMulInteger", (9, 70), (70, 33), "uint8", "int8", "int32"),
    ("MatMulInteger", (2, 5, 64), (64, 24), "int8", "uint8", "int32"),
    ("QLinearConv<pads=[1,1,1,1]>", (1, 20, 9, 7), (40, 20, 3, 3), "uint8", "int8", "uint8"),
    (
        "QLinearConv<pads=[1,1,1,1],group=2,strides=[2,2]>",
        (2, 32, 9, 8),
        (24, 16, 3, 3),
        "int8",
        "int8",
        "int8",
    ),
    ("QLinearMatMul", (9, 70), (70, 33), "uint8", "uint8", "int8"),
)


def model(layer: Any, *, zero: int | None = None) -> Any:
    """The layer in NCHW; all but x are constants."""
    op, x, w, kind, weights, result = layer
    rng = np.random.default_rng(1)
    name, _, rest = op.partition("<")
    filters = w[0] if "Conv" in op else w[1]
    low = 0 if weights == "uint8" else -128
    middle = (128 if weights == "uint8" else 0) if zero is None else zero
    constants: dict[str, Any] = {"w": rng.integers(low, low + 256, w).astype(weights)}
    if name.startswith("QLinear"):
        names = ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz"]
        constants |= {"xs": np.float32(0.02), "ws": rng.uniform(0.01, 0.02, filters).astype(np.float32),
                      "ys": np.float32(1.5), "yz": np.array(3, result)}  # fmt: skip
        if "Conv" in op:
            names.append("b")
            constants["b"] = rng.integers(-9000, 9000, filters).astype(np.int32)
        else:
            constants["ws"] = constants["ws"][0]
    else:
        names = ["x", "w", "xz", "wz"]
    constants |= {"xz": np.array(7 if kind == "uint8" else -5, kind), "wz": np.array(middle, weights)}
    shape = ",".join(map(str, x))
    attributes = f"<{rest}" if rest else ""
    text = f'<ir_version: 10, opset_import: ["" : 21]> agraph ({kind}[{shape}] x) => ({result} y)'
    made = onnx.parser.parse_model(f"{text} {{ [layer] y = {name}{attributes}({', '.join(names)}) }}")
    made.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items()
    )
    made.graph.output[0].type.tensor_type.ClearField("shape")
    return made


def name_of(layer: Any) -> str:
    """For the test's id."""
    return f"{layer[0]}-{layer[3]}-{layer[4]}-{layer[1]}".replace(" ", "")


def dynamic(shape: tuple[int, ...], *asked: str) -> Any:
    """DynamicQuantizeLinear of such an x; ``asked``: of y, s and z, its results, those that are outputs, else all."""
    names = asked or ("y", "s", "z")
    outputs = ", ".join(f"{'float' if n == 's' else 'uint8'}[] {n}" for n in names)
    given = ",".join(map(str, shape))
    text = f'<ir_version: 10, opset_import: ["" : 21]> agraph (float[{given}] x) => ({outputs})'
    made = onnx.parser.parse_model(f"{text} {{ [layer] y, s, z = DynamicQuantizeLinear(x) }}")
    for output in made.graph.output:
        output.type.tensor_type.ClearField("shape")
    return made
