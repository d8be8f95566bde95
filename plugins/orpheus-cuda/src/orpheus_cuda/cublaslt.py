"""Matrix products, and convolutions of one element in NHWC, by cuBLASLt: bias, residual and Relu in its epilogue.

Through the C interface, of which CuPy has no part. It computes in columns: Y' [N, M] = W' [N, K] X' [K, M], which are
our rows as they lie. Enumerations are those of cublasLt.h and library_types.h.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache, partial
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from orpheus_core.errors import KernelError
from orpheus_core.geometry.window import shape_of
from orpheus_core.loading import why_not
from orpheus_core.plugin import Problem
from orpheus_cuda.device import opened
from orpheus_cuda.launch import Launch
from orpheus_cuda.limits import filled, pointwise
from orpheus_cuda.runtime import Tensor, load

_TYPES = {"float32": 0, "float16": 2, "bfloat16": 14}
_FLOAT32, _COMPUTE, _COMPUTE_TF32 = 0, 68, 77
_TRANS_A, _EPILOGUE, _BIAS = 3, 7, 8
_MAX_WORKSPACE = 1
_WORKSPACE = 32 << 20
_NAMES = ("libcublasLt.so.13", "libcublasLt.so.12")


class _Choice(ctypes.Structure):
    """cublasLtMatmulHeuristicResult_t."""

    _fields_ = (
        ("algorithm", ctypes.c_uint64 * 8), ("workspace", ctypes.c_size_t), ("state", ctypes.c_int),
        ("waves", ctypes.c_float), ("reserved", ctypes.c_int * 4),
    )  # fmt: skip


@cache
def _looked_for() -> tuple[ctypes.CDLL | None, str]:
    """The library, of the wheel nvidia-cublas or of the system; or why what there is does not load."""
    found = find_spec("nvidia")
    folders = [Path(p) for p in (found.submodule_search_locations if found else None) or ()]
    wheels = [str(p) for f in folders for name in _NAMES for p in f.glob(f"*/lib/{name}")]
    reasons = []
    for name in (*wheels, *_NAMES):
        try:
            return ctypes.CDLL(name), ""
        except OSError as error:
            if name in wheels or not str(error).startswith(
                f"{name}: cannot open"
            ):  # which says: there is none
                reasons.append(why_not(name, error))
    return None, "; ".join(reasons)


def library() -> ctypes.CDLL | None:
    """cuBLASLt; None where it cannot be had."""
    return _looked_for()[0]


def _call(name: str, *arguments: Any) -> None:
    status = getattr(library(), name)(*arguments)
    if status:
        raise KernelError(f"{name} of cuBLASLt answers {status}; see cublasStatus_t in its documentation")


_handles: dict[int, ctypes.c_void_p] = {}


def _handle(index: int) -> ctypes.c_void_p:
    if index not in _handles:
        handle = ctypes.c_void_p()
        with opened(index).current():
            _call("cublasLtCreate", ctypes.byref(handle))
        _handles[index] = handle
    return _handles[index]


def supports(problem: Problem) -> str | None:
    """The library, W that is known, and what its epilogue can do."""
    if library() is None:
        told = "needs libcublasLt: pip install nvidia-cublas (CUDA 13) or nvidia-cublas-cu12"
        return "; but ".join(filter(None, (told, _looked_for()[1])))
    if problem.attributes.get("activation", "") not in ("", "Relu"):
        return f"needs activation Relu or none, has {problem.attributes['activation']!r}"
    found = filled(problem)
    if found is None and "Conv" in problem.op:
        found = pointwise(problem)
    if found is None and "Gemm" in problem.op:
        bias = problem.inputs[2] if len(problem.inputs) > 2 else None
        columns = shape_of(problem.outputs[0])[1]
        if bias is not None and (prod(shape_of(bias)) != columns or shape_of(bias)[-1] != columns):
            return f"needs C of {columns} elements along the columns, has {list(shape_of(bias))}"
        if problem.attributes.get("beta", 1.0) != 1.0 or problem.attributes.get("transA"):
            return "needs beta == 1 and transA == 0"
    if found is None and "MatMul" in problem.op and len(shape_of(problem.inputs[1])) != 2:
        return "needs B to be one matrix"
    return found


class _Description:
    """cublasLtMatmulDesc_t of Y' = W' X' with an epilogue."""

    def __init__(self, compute: int, *, biased: bool, relu: bool) -> None:
        self.pointer = ctypes.c_void_p()
        _call("cublasLtMatmulDescCreate", ctypes.byref(self.pointer), compute, _FLOAT32)
        self.set(_TRANS_A, ctypes.c_int32(1))
        self.set(_EPILOGUE, ctypes.c_uint32((2 * relu + 4 * biased) or 1))

    def set(self, attribute: int, value: Any) -> None:
        """One attribute."""
        size = ctypes.c_size_t(ctypes.sizeof(value))
        _call("cublasLtMatmulDescSetAttribute", self.pointer, attribute, ctypes.byref(value), size)

    def __del__(self) -> None:
        _call("cublasLtMatmulDescDestroy", self.pointer)


class Product:
    """Conv of one element, Gemm, MatMul and their fused forms."""

    compute = _COMPUTE

    def __init__(self, problem: Problem) -> None:
        target: Any = problem.outputs[0]
        self.index, dtype = target.device.index, target.dtype
        w = problem.constants[1]
        if "Conv" in problem.op:
            rows = w.reshape(w.shape[0], -1)
        else:
            rows = w if problem.attributes.get("transB") else w.T
        self.w = load(self.index, np.ascontiguousarray(rows))
        self.packed = (1,)
        n, k = rows.shape
        m = prod(shape_of(target)) // n
        self.alpha, self.beta = (
            ctypes.c_float(v) for v in (float(problem.attributes.get("alpha", 1.0)), 0.0)
        )
        given = [t is not None for t in (*problem.inputs, None, None, None)]
        if given[3]:
            self.beta = ctypes.c_float(1.0)
        kind = _TYPES[dtype.value]
        relu = problem.attributes.get("activation", "") == "Relu"
        self.describe = partial(_Description, self.compute, biased=given[2], relu=relu)
        self.layouts = []
        for high, wide in ((k, n), (k, m), (n, m)):
            layout = ctypes.c_void_p()
            sizes = ctypes.c_uint64(high), ctypes.c_uint64(wide), ctypes.c_int64(high)
            _call("cublasLtMatrixLayoutCreate", ctypes.byref(layout), kind, *sizes)
            self.layouts.append(layout)
        self.choice = self._choose()
        self.workspace = int(self.choice.workspace)

    def _choose(self) -> _Choice:
        """Its own first choice among what needs no more than 32 MiB beside."""
        preference, most = ctypes.c_void_p(), ctypes.c_uint64(_WORKSPACE)
        _call("cublasLtMatmulPreferenceCreate", ctypes.byref(preference))
        size = ctypes.c_size_t(8)
        _call("cublasLtMatmulPreferenceSetAttribute", preference, _MAX_WORKSPACE, ctypes.byref(most), size)
        choice, count = _Choice(), ctypes.c_int()
        w, x, y = self.layouts
        with opened(self.index).current():
            known = (_handle(self.index), self.describe().pointer, w, x, y, y, preference)
            _call("cublasLtMatmulAlgoGetHeuristic", *known, 1, ctypes.byref(choice), ctypes.byref(count))
        _call("cublasLtMatmulPreferenceDestroy", preference)
        if not count.value or choice.state:
            raise KernelError("cuBLASLt has no algorithm for this product")
        return choice

    def bind(
        self, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None], workspace: Tensor | None
    ) -> Launch:
        """One call of the library."""
        x, _, bias, r = (*inputs, None, None)[:4]
        y = outputs[0]
        assert x is not None and y is not None
        step = _Bound(self, x, bias, r, y, workspace)
        call = partial(y.library.doing, "a product of cuBLASLt", step)
        return Launch(y.library, y.stream, (call,), (x, y, bias, r, workspace))

    def __del__(self) -> None:
        for layout in getattr(self, "layouts", ()):
            _call("cublasLtMatrixLayoutDestroy", layout)


class _Bound:
    """One call with its addresses."""

    def __init__(
        self,
        product: Product,
        x: Tensor,
        bias: Tensor | None,
        r: Tensor | None,
        y: Tensor,
        space: Tensor | None,
    ) -> None:
        p = ctypes.c_void_p
        self.product, self.description = product, product.describe()
        if bias is not None:
            self.description.set(_BIAS, p(bias.pointer))
        w, a, d = product.layouts
        self.arguments = (
            _handle(product.index), self.description.pointer, ctypes.byref(product.alpha), p(product.w.pointer), w,
            p(x.pointer), a, ctypes.byref(product.beta), p((r or y).pointer), d, p(y.pointer), d,
            ctypes.byref(product.choice), p(space.pointer if space else 0), ctypes.c_size_t(product.workspace),
            p(y.stream.handle.ptr),
        )  # fmt: skip

    def __call__(self) -> None:
        _call("cublasLtMatmul", *self.arguments)


class ProductTF32(Product):
    """float32 operands rounded to TF32."""

    compute = _COMPUTE_TF32
