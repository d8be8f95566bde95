"""Neighbouring elementwise operators as one generated kernel: what lies between them is never in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from orpheus_core.geometry.strides import contiguous, merged
from orpheus_core.plugin import Joined, Step
from orpheus_cuda.elementwise import Each, Elementwise, ScaleShift, is_flat, walk
from orpheus_cuda.launch import Launch, blocks, launch
from orpheus_cuda.programs import define
from orpheus_cuda.runtime import Tensor

#: Layers of a chain: what a kernel's registers and parameters hold well.
MOST = 12


def chain(layers: Sequence[object]) -> list[Joined]:
    """Runs of elementwise layers over the same elements; see :class:`orpheus_core.plugin.Backend`."""
    found: list[Joined] = []
    first = 0
    parts = [_elementwise(layer) for layer in layers]
    for end in range(1, len(parts) + 1):
        before, after = parts[end - 1], parts[end] if end < len(parts) else None
        if before is not None and after is not None and end - first < MOST and _follows(before, after):
            continue
        if end - first > 1:
            run = _Chain([p for p in parts[first:end] if p is not None])
            found.append(Joined(first, end, run.join, "one kernel"))
        first = end
    return found


def _elementwise(layer: object) -> Elementwise | None:
    part = layer.each if isinstance(layer, ScaleShift) else layer
    return part if isinstance(part, Elementwise) else None


def _follows(before: Elementwise, after: Elementwise) -> bool:
    """Whether ``after`` reads each element of what ``before`` writes once, in the order in which they lie."""
    sizes, steps = after.over
    between = (sizes, contiguous(sizes))
    wrote = (before.over[0], before.over[1][-1])
    same = all(_moves(*a) == _moves(*between) for a in (wrote, (sizes, steps[0]), (sizes, steps[-1])))
    return same and before.words["TO"] == after.words["TX"] and after.firsts[0] == before.firsts[-1] == 0


def _moves(sizes: Sequence[int], steps: Sequence[int]) -> list[tuple[int, int]]:
    """Sizes and strides of the axes that have more than one element."""
    return [(size, step) for size, step in zip(sizes, steps) if size != 1]


@dataclass(frozen=True)
class _Operand:
    """What a chain reads: where, as which type of C++, and its strides along the axes of the chain."""

    tensor: Tensor
    first: int
    type: str
    steps: tuple[int, ...]

    @property
    def pointer(self) -> np.uint64:
        return np.uint64(self.tensor.pointer + self.first * self.tensor.dtype.itemsize)


@dataclass(frozen=True)
class _Chain:
    """Layers over the same elements, each of which reads what the one before gives."""

    layers: Sequence[Elementwise]

    def join(self, steps: Sequence[Step]) -> Step:
        """One launch on the operands that the steps were bound to."""
        bound = [step for step in steps if isinstance(step, Each)]
        assert len(bound) == len(self.layers) == len(steps)
        y, last = bound[-1].target, self.layers[-1]
        if not last.count:
            return Launch(y.library, y.stream)
        operands, links = self._linked(bound)
        axes = [size for size in last.over[0] if size != 1]
        sizes, strides = merged(axes, [*(o.steps for o in operands), contiguous(axes)])
        words = {
            "STAGES": " ".join(_stage(n, layer) for n, layer in enumerate(self.layers)),
            "OPERANDS": "".join(f"const {o.type} *a{i}, " for i, o in enumerate(operands)),
            "NUMBERS": "".join(f", const double d{n}{end}" for n in range(len(self.layers)) for end in "ab"),
            "TO": last.words["TO"],
            "LINKS": links,
        }
        arguments: list[Any] = [*(o.pointer for o in operands), y, np.int64(last.count)]
        arguments += [number for layer in self.layers for number in layer.numbers]
        if is_flat(sizes, strides):
            pack = self._pack(operands, strides, y)
            source, count = _flat(words, operands, strides, pack), blocks(last.count, pack)
        else:
            names = [f"s{i}" for i in range(len(operands))]
            walked, table = walk(sizes, strides, (*names, "so"), "_")
            words["SINGLE"] = " ".join(f"const {o.type} e{i} = a{i}[as{i}];" for i, o in enumerate(operands))
            words["PLACES"] = " ".join(f"i64 a{name} = 0;" for name in (*names, "so"))
            source, count = define("chain.cu", FLAT=0, **words, **walked), last.count
            arguments += table
        made = launch(y, source, "chain", arguments, (blocks(count),))
        return made.keeping(y, *(o.tensor for o in operands), *(k for b in bound for k in b.keeps))

    def _linked(self, bound: Sequence[Each]) -> tuple[list[_Operand], str]:
        """What is read from memory, and the calls of the stages: on it, and on the result r of the stage before."""
        operands: list[_Operand] = []
        links = []
        for n, (layer, step) in enumerate(zip(self.layers, bound)):
            names = [f"r{n - 1}"] if n else []
            for i in range(len(names), len(step.operands)):
                names.append(f"e{len(operands)}")
                along = tuple(s for size, s in zip(layer.over[0], layer.over[1][i]) if size != 1)
                operands.append(
                    _Operand(step.operands[i], layer.firsts[i], layer.words[f"T{'XYZ'[i]}"], along)
                )
            names += names[:1] * (3 - len(names))  # operands that are not there are x once more
            given = ", ".join(f"(stage{n}::C){name}" for name in (*names, f"d{n}a", f"d{n}b"))
            links.append(f"const {layer.words['TO']} r{n} = stage{n}::at({given});")
        links.append(f"const {self.layers[-1].words['TO']} last = r{len(links) - 1};")
        return operands, " ".join(links)

    def _pack(self, operands: Sequence[_Operand], strides: Sequence[Sequence[int]], y: Tensor) -> int:
        """Elements that a thread moves at once."""
        moving = [int(o.pointer) for o, s in zip(operands, strides) if s == (1,)]
        aligned = all(pointer % 16 == 0 for pointer in (*moving, y.pointer))
        return 16 // max(layer.widest for layer in self.layers) if aligned else 1


def _flat(
    words: dict[str, str], operands: Sequence[_Operand], strides: Sequence[Sequence[int]], pack: int
) -> str:
    packs, packed, single = [], [], []
    for i, (kind, steps) in enumerate(zip((o.type for o in operands), strides)):
        moves = steps == (1,)
        if moves:
            packs.append(f"const Pack<{kind}, PACK> q{i} = *(const Pack<{kind}, PACK> *)(a{i} + first);")
        packed.append(f"const {kind} e{i} = {f'q{i}.at[i]' if moves else f'a{i}[0]'};")
        single.append(f"const {kind} e{i} = a{i}[{'i' if moves else '0'}];")
    text = {"PACKS": " ".join(packs), "PACKED": " ".join(packed), "SINGLE": " ".join(single)}
    return define("chain.cu", FLAT=1, **words, PACK=pack, PARAMETERS="", **text)


def _stage(n: int, layer: Elementwise) -> str:
    words = layer.words
    act = words.get("ACT")
    apply = f" static __device__ inline C apply(C x, C p0, C p1) {{ return {act}; }}" if act else ""
    return (
        f"struct stage{n} {{ typedef {words['COMPUTE']} C;{apply} static __device__ inline {words['TO']}"
        f" at(C x, C y, C z, C p0, C p1) {{ return ({words['TO']}){words['EXPR']}; }} }};"
    )
