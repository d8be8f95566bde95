"""What has its size from values: NonMaxSuppression, TopK, and what only tells or changes a shape."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from orpheus_core.errors import KernelError
from orpheus_core.geometry.window import shape_of
from orpheus_core.plugin import Problem
from orpheus_cuda.driver import DOWN, UP
from orpheus_cuda.expressions import TYPES
from orpheus_cuda.launch import Launch, blocks, launch
from orpheus_cuda.programs import define
from orpheus_cuda.runtime import Tensor


def made(like: Tensor, shape: Sequence[int], dtype: Any) -> Tensor:
    """A new array in the stream of another."""
    dtype = np.dtype(dtype)
    block = like.library.allocate(prod(shape) * dtype.itemsize, like.stream)
    return Tensor(block.pointer, tuple(shape), dtype, block, like.library, like.stream)


def fetch(x: Tensor) -> Any:
    """Its values, once they are there."""
    found = np.empty(x.shape, x.dtype)
    if found.nbytes:
        x.library.copy(found.ctypes.data, x.pointer, found.nbytes, x.stream, DOWN)
    x.library.wait(x.stream)
    return found


def send(like: Tensor, values: Any) -> Tensor:
    """Values of the host's as an array in the stream of another."""
    values = np.ascontiguousarray(values)
    target = made(like, values.shape, values.dtype)
    if values.nbytes:
        like.library.copy(target.pointer, values.ctypes.data, values.nbytes, like.stream, UP)
        like.library.wait(like.stream)
    return target


def _number(problem: Problem, index: int, given: Tensor | None, default: float) -> float:
    """An input of one element: from the constants, or from the device."""
    if index in problem.constants:
        return float(problem.constants[index].reshape(()))
    return default if given is None else float(fetch(given).reshape(()))


def non_max_suppression(
    boxes: Tensor, scores: Tensor, most: Tensor | None = None, overlap: Tensor | None = None,
    least: Tensor | None = None, *, center_point_box: int = 0, problem: Problem,
) -> Tensor:  # fmt: skip
    """Rows (image, class, box), int64; waits for how many there are."""
    images, classes, count = scores.shape
    limit = min(int(_number(problem, 2, most, 0)), count)
    lists = images * classes
    if limit <= 0 or not lists or not count:
        return made(boxes, (0, 3), np.int64)
    flags, chosen = made(boxes, (lists, count), np.uint8), made(boxes, (lists, limit), np.int32)
    counts, total = made(boxes, (lists,), np.int32), made(boxes, (1,), np.int32)
    rows = made(boxes, (lists * limit, 3), np.int64)
    bounds = float(_number(problem, 3, overlap, 0.0)), float(_number(problem, 4, least, 0.0))
    source = define("suppress.cu")
    numbers = (count, classes, limit, *bounds, int(least is not None), center_point_box)
    launch(boxes, source, "suppress", (boxes, scores, flags, chosen, counts, *numbers), (lists,))()
    launch(boxes, source, "collect", (chosen, counts, rows, total, lists, classes, limit), (blocks(lists),))()
    (found,) = fetch(total).tolist()
    return rows.part(0, (found, 3), np.int64)


class _Ranked:
    """The launch of TopK along an axis."""

    def __init__(self, shape: Sequence[int], dtype: str, axis: int, largest: int) -> None:
        axis %= len(shape)
        self.length, self.inner = shape[axis], prod(shape[axis + 1 :])
        self.count = prod(shape)
        self.source = define("topk.cu", T=TYPES[dtype], **({"LARGEST": 1} if largest else {}))

    def launch(self, x: Tensor, values: Tensor, indices: Tensor, k: int) -> Launch:
        """A thread an element."""
        arguments = (x, values, indices, np.uint32(self.count), self.length, np.uint32(self.inner), k)
        return launch(values, self.source, "topk", arguments, (blocks(self.count) if k else 0,))


#: The longest axis whose elements are each compared with all others.
LONGEST = 1 << 15


class TopK(_Ranked):
    """With K known."""

    def __init__(self, problem: Problem) -> None:
        x: Any = problem.inputs[0]
        facts = problem.attributes
        super().__init__(shape_of(x), x.dtype.value, int(facts.get("axis", -1)), int(facts.get("largest", 1)))
        self.k = int(problem.constants[1].reshape(()))

    def bind(
        self, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None], workspace: Tensor | None
    ) -> Launch:
        """One launch."""
        x, (values, indices) = inputs[0], outputs
        assert x is not None and values is not None and indices is not None
        return self.launch(x, values, indices, self.k)


def top_k(
    x: Tensor, k: Tensor, *, axis: int = -1, largest: int = 1, problem: Problem, **_: int
) -> tuple[Tensor, Tensor]:
    """With K from the device, for which it waits."""
    count, axis = int(_number(problem, 1, k, 0)), axis % x.ndim
    if not 0 <= count <= x.shape[axis]:
        raise ValueError(f"TopK: K is {count}, axis {axis} of shape {x.shape} has {x.shape[axis]}")
    if x.shape[axis] > LONGEST:
        raise KernelError(
            f"cuda:TopK/ranks: needs an axis of at most {LONGEST} elements, has {x.shape[axis]}"
        )
    shape = (*x.shape[:axis], count, *x.shape[axis + 1 :])
    values, indices = made(x, shape, x.dtype), made(x, shape, np.int64)
    dtype = problem.inputs[0].dtype.value  # type: ignore[union-attr]
    _Ranked(x.shape, dtype, axis, largest).launch(x, values, indices, count)()
    x.library.wait(x.stream)
    return values, indices


def shape(x: Tensor, *, start: int = 0, end: int | None = None) -> Tensor:
    """Shape: known on the host, wanted on the device."""
    return send(x, np.array(x.shape[start:end], np.int64))


def size(x: Tensor) -> Tensor:
    """Size: the number of elements."""
    return send(x, np.array(x.size, np.int64))


def reshape(x: Tensor, given: Tensor | None = None, *, problem: Problem, **attributes: Any) -> Tensor:
    """Reshape, Flatten, Squeeze, Unsqueeze of what has its size from values: the same memory."""
    sizes = list(x.shape)
    if problem.op == "Flatten":
        axis = int(attributes["axis"]) + (x.ndim if attributes["axis"] < 0 else 0)
        sizes = [prod(sizes[:axis]), prod(sizes[axis:])]
    else:
        known = problem.constants.get(1)
        values = (
            attributes.get("axes") if given is None else (fetch(given) if known is None else known).tolist()
        )
        if problem.op == "Reshape":
            kept = [s if s or attributes.get("allowzero") else x.shape[i] for i, s in enumerate(values or ())]
            whole = prod(s for s in kept if s != -1)
            sizes = [x.size // whole if s == -1 else s for s in kept]
        elif problem.op == "Squeeze":
            gone = {a % x.ndim for a in values} if values else {i for i, s in enumerate(sizes) if s == 1}
            sizes = [s for i, s in enumerate(sizes) if i not in gone]
        else:
            for axis in sorted(a % (x.ndim + len(values or ())) for a in values or ()):
                sizes.insert(axis, 1)
    if prod(sizes) != x.size:
        raise ValueError(f"{problem.op}: {list(x.shape)} cannot become {sizes}")
    return x.part(0, tuple(sizes), x.dtype)
