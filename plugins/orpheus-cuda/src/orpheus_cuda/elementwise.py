"""Elementwise operators of one to three tensors, with ONNX's broadcasting; the expression makes the kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from orpheus_core.geometry.strides import broadcast, merged, strides_of
from orpheus_core.geometry.window import shape_of
from orpheus_core.ops.activations import ACTIVATIONS
from orpheus_core.plugin import Problem
from orpheus_core.types import DType, TensorType
from orpheus_cuda.expressions import TYPES, UNARY, WORDS, act, divide
from orpheus_cuda.launch import Launch, blocks, launch
from orpheus_cuda.programs import define
from orpheus_cuda.runtime import Tensor, load

_NAMES = "xyz"
_BYTES = {name: DType(dtype).itemsize for dtype, name in TYPES.items()}


@dataclass(frozen=True, eq=False)
class Each(Launch):
    """The launch of an elementwise layer, with what it reads and writes."""

    operands: tuple[Tensor, ...] = ()
    target: Any = None


class Elementwise:
    """``expression`` of ``inputs``, over ``sizes`` with ``steps`` of every operand and of Y, all in Y's order."""

    def __init__(
        self,
        expression: str,
        types: Sequence[str],
        sizes: Sequence[int],
        steps: Sequence[Sequence[int]],
        parameters: Sequence[float] = (),
        firsts: Sequence[int] = (),
    ) -> None:
        *inputs, out = types
        padded = [*inputs, *[inputs[0]] * (3 - len(inputs))]
        # The type that is computed in: what is compared or chosen from may be narrower than a condition.
        compute = f"Compute<{padded[-1 if len(inputs) == 3 else 0]}>::type"
        names = {f"T{n.upper()}": t for n, t in zip(_NAMES, padded)}
        self.words = {**names, "TO": out, "COMPUTE": compute, "EXPR": f"({expression})"}
        self.widest = max(_BYTES[t] for t in (*padded, out))
        self.over = tuple(sizes), tuple(map(tuple, steps))
        self.sizes, self.steps = merged(sizes, steps)
        self.count = prod(sizes)
        self.numbers = [np.float64(p) for p in (*parameters, 0.0, 0.0)[:2]]
        self.firsts = tuple(firsts) or (0,) * len(types)

    def bind(
        self, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None], workspace: Tensor | None
    ) -> Each:
        """One launch."""
        (y,) = outputs
        given = [t for t in inputs if t is not None][: len(self.steps) - 1]
        assert y is not None and len(given) == len(self.steps) - 1
        if not self.count:
            return Each(y.library, y.stream, operands=tuple(given), target=y)
        places = [np.uint64(t.pointer + f * t.dtype.itemsize) for t, f in zip((*given, y), self.firsts)]
        absent = [0] * (3 - len(given))  # operands that are not there are x once more
        pointers = [places[i] for i in (*range(len(given)), *absent, -1)]
        along = [int(s == (1,)) for s in self.steps]
        if is_flat(self.sizes, self.steps):
            aligned = all(int(p) % 16 == 0 for p, s in zip(places, along) if s)
            pack = 16 // self.widest if aligned else 1
            flags = {f"S{n}": along[i] for n, i in zip("XYZ", (*range(len(given)), *absent))}
            source = define("elementwise.cu", **self.words, **flags, PACK=pack, PARAMETERS="", WALK="")
            arguments = (*pointers, np.int64(self.count), *self.numbers)
            step = launch(y, source, "flat", arguments, (blocks(blocks(self.count, pack)),))
        else:
            words, table = walk(self.sizes, self.steps)
            source = define("elementwise.cu", **self.words, SX=1, SY=1, SZ=1, PACK=1, **words)
            arguments = (*pointers, np.uint32(self.count), *self.numbers, *table)
            step = launch(y, source, "strided", arguments, (blocks(self.count),))
        return Each(y.library, y.stream, step.calls, (*step.keeps, *given, y), tuple(given), y)


def is_flat(sizes: Sequence[int], steps: Sequence[Sequence[int]]) -> bool:
    """Whether every operand lies as Y does, which is the last, or has one element."""
    return len(sizes) == 1 and tuple(steps[-1]) == (1,) and all(tuple(s) in ((0,), (1,)) for s in steps)


def walk(
    sizes: Sequence[int], steps: Sequence[Sequence[int]], names: Sequence[str] = "", mark: str = ""
) -> tuple[dict[str, str], list[np.int32]]:
    """Kernel parameters and code that take an index apart, and the numbers to pass.

    ``names`` of the operands, whose places are ``a`` and the name; without any, those of an elementwise kernel, the
    last of ``steps`` being Y's. ``mark`` keeps two walks of one kernel apart.
    """
    given = tuple(names) or (*_NAMES[: len(steps) - 1], "o")
    declared, code, table = [], [], []
    for axis, size in enumerate(sizes):
        declared += [f", const int {name}{mark}{axis}" for name in ("n", *given)]
        table += [np.int32(number) for number in (size, *(s[axis] for s in steps))]
    for axis in reversed(range(len(sizes))):
        i, n = f"i{mark}{axis}", f"(u32)n{mark}{axis}"
        code.append(f"const u32 {i} = rest % {n}; rest /= {n};" if axis else f"const u32 {i} = rest;")
        code += [f"a{name} += (i64){i} * {name}{mark}{axis};" for name in given]
    if not names:
        code += [f"a{name} = ax;" for name in _NAMES[len(steps) - 1 :]]
    return {"PARAMETERS": "".join(declared), "WALK": " ".join(code)}, table


def over(problem: Problem, expression: str, parameters: Sequence[float] = ()) -> Elementwise:
    """Every input broadcast to the output, whatever their layouts."""
    target = problem.outputs[0]
    assert isinstance(target, TensorType)
    operands = [t for t in problem.inputs if isinstance(t, TensorType)]
    rank = len(shape_of(target))
    order = target.layout.permutation or tuple(range(rank))
    logical = [broadcast(shape_of(t), strides_of(t), rank) for t in operands] + [strides_of(target)]
    sizes = [shape_of(target)[axis] for axis in order]
    steps = [[s[axis] for axis in order] for s in logical]
    return Elementwise(
        expression, [TYPES[t.dtype.value] for t in (*operands, target)], sizes, steps, parameters
    )


def unary(problem: Problem) -> Elementwise:
    """Operators of :data:`expressions.UNARY`; the bounds of Clip are known."""
    only = replace(problem, inputs=problem.inputs[:1])
    return over(only, UNARY[problem.op][0], parameters(problem))


def parameters(problem: Problem) -> tuple[float, ...]:
    """An activation's parameters, in the order of ops.activations; those of Clip are inputs, or were attributes."""
    if problem.op == "Clip":
        info = problem.inputs[0].dtype  # type: ignore[union-attr]
        ends = (-np.inf, np.inf) if info.is_float else (np.iinfo(info.numpy).min, np.iinfo(info.numpy).max)
        given = problem.constants
        return tuple(
            float(given[i].reshape(())) if i in given else float(end) for i, end in enumerate(ends, 1)
        )
    if problem.op == "Gelu":
        return (float(problem.attributes["approximate"] == "tanh"),)
    return tuple(float(problem.attributes[name]) for name in ACTIVATIONS.get(problem.op, ()))


def binary(problem: Problem) -> Elementwise:
    """Operators of :data:`expressions.BINARY`."""
    dtype = problem.inputs[0].dtype.value  # type: ignore[union-attr]
    return over(problem, divide(problem.op, dtype))


def where(problem: Problem) -> Elementwise:
    """Where, of any type: words of its width are chosen from."""
    made = over(problem, "x ? y : z")
    word = WORDS[problem.outputs[0].dtype.itemsize]  # type: ignore[union-attr]
    made.words.update(TX="bool", TY=word, TZ=word, TO=word, COMPUTE=word)
    return made


def cast(problem: Problem) -> Elementwise:
    """Cast between numbers."""
    return over(problem, "x")


class ScaleShift:
    """ScaleShift along any axis, and BatchNormalization, whose constants become one scale and one shift."""

    def __init__(self, problem: Problem) -> None:
        target = problem.outputs[0]
        assert isinstance(target, TensorType)
        axis, rank = int(problem.attributes.get("axis", 1)), len(shape_of(target))
        given = [problem.constants[i].astype(np.float64) for i in range(1, 5) if i in problem.constants]
        if problem.op == "BatchNormalization":
            factor = given[0] / np.sqrt(given[3] + float(problem.attributes.get("epsilon", 1e-5)))
            given = [factor, given[1] - given[2] * factor]
        wide = (-1,) + (1,) * (rank - 1 - axis % rank)
        pair = [
            v.astype(np.float32 if target.dtype.itemsize < 8 else np.float64).reshape(wide) for v in given
        ]
        self.packed = (1, 2, 3, 4)
        types = [TensorType(DType.from_numpy(v.dtype), v.shape, device=target.device) for v in pair]
        name = str(problem.attributes.get("activation", ""))
        operands = replace(problem, inputs=(problem.inputs[0], *types))
        values = problem.attributes.get("activation_params", ())
        self.each = over(operands, "apply(x * y + z, p0, p1)", values)
        kind = TYPES[problem.inputs[0].dtype.value]  # type: ignore[union-attr]
        self.each.words.update(COMPUTE=f"Compute<{kind}>::type", ACT=act(name))
        self.pair = [load(target.device.index, v) for v in pair]

    def bind(
        self, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None], workspace: Tensor | None
    ) -> Each:
        """One launch."""
        return self.each.bind((inputs[0], *self.pair), outputs[:1], None)
