"""orpheus-blas: the same layers over each BLAS library of the machine; each library is a backend of its own."""

from __future__ import annotations

from orpheus_core.plugin import Backend, Kernel, Rule

_ACTIVATIONS = ("", "Relu", "Clip", "LeakyRelu", "Sigmoid", "Tanh", "HardSwish", "Swish")
#: Operator -> the first version of its schema that is implemented.
_SINCE = {"Conv": 1, "Gemm": 7, "MatMul": 1}


def _rules(op: str, fused: str) -> tuple[Rule, ...]:
    rules = [Rule(f"{operand}.size", ">", 0) for operand in ("XWY" if op == "Conv" else "ABY")]
    rules += [Rule("auto_pad", "==", "NOTSET")] if op == "Conv" else []
    rules += [Rule("activation", "in", _ACTIVATIONS)] if fused else []
    return tuple(rules)


def _backend(name: str, rank: int) -> Backend:
    layers = f"orpheus_blas.layers:{name}"
    kernels = tuple(
        Kernel(
            op=fused + op, domain="ai.orpheus" if fused else "", name="im2col" if op == "Conv" else "gemm",
            opset=(1 if fused else since, None), dtypes={"T": ("float32", "float64")}, overlap=True,
            where=_rules(op, fused), prepare=f"{layers}.{op}", supports=f"{layers}.refusal",
            inplace=((0, 3),) if fused else (),
        )
        for op, since in _SINCE.items()
        for fused in ("", "Fused")
    )  # fmt: skip
    return Backend(
        name=f"blas:{name}", api=1, version="0.1.0", kernels=kernels, rank=rank,
        probe=f"{layers}.probe", set_threads=f"{layers}.set_threads",
    )  # fmt: skip


# Ranked behind the reference: they are there to be compared, and run where they are named or were measured.
mkl, openblas, blis = _backend("mkl", 1001), _backend("openblas", 1002), _backend("blis", 1003)
numpy, accelerate, atlas = _backend("numpy", 1004), _backend("accelerate", 1005), _backend("atlas", 1006)
