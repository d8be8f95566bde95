"""Models of time: they order this backend's kernels until times are measured; only their order matters."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import ceil, prod
from types import SimpleNamespace

from orpheus_core.geometry.cook_toom import FORMS, Form
from orpheus_core.geometry.window import shape_of
from orpheus_core.plugin import Accuracy, Problem
from orpheus_core.types import TensorType
from orpheus_cuda.choices import CHOICES
from orpheus_cuda.operands import AT

_CALL = 2e-6
_BANDWIDTH = 2e12
#: Operations a second of the plain units.
_PLAIN = 30e12


def traffic(problem: Problem) -> float:
    """Every operand read or written once."""
    types = (t for t in (*problem.inputs, *problem.outputs) if isinstance(t, TensorType))
    return _CALL + sum(t.nbytes or 0 for t in types) / _BANDWIDTH


def _sums(problem: Problem) -> float:
    """Multiply-adds, counted as two."""
    target = problem.outputs[0]
    taps = prod(shape_of(problem.inputs[1])[1:]) if "Conv" in problem.op else shape_of(problem.inputs[0])[-1]
    return 2.0 * taps * prod(shape_of(target))


def plain(problem: Problem) -> float:
    """By operations at the rate of a processor's lanes (tensor cores for narrow types), or by traffic."""
    rate = _PLAIN if problem.outputs[0].dtype.itemsize == 4 else 200e12  # type: ignore[union-attr]
    return max(_sums(problem) / rate, traffic(problem)) + (0.0 if _is_together(problem) else traffic(problem))


def tensor(problem: Problem) -> float:
    """By operations at the rate of TF32, or by traffic."""
    return max(_sums(problem) / 100e12, traffic(problem)) + (
        0.0 if _is_together(problem) else traffic(problem)
    )


def _winograd(form: Form, problem: Problem) -> float:
    """Products by operations; X, Y, and each transformed tile twice."""
    (n, _, p, q), (m, c) = shape_of(problem.outputs[0]), shape_of(problem.inputs[1])[:2]
    tiles = n * ceil(p / form.rows.out) * ceil(q / form.cols.out)
    products = 2.0 * form.elements * tiles * m * c / _PLAIN
    moved = 4.0 * form.elements * (2 * tiles * (m + c) + m * c) / _BANDWIDTH
    return (2 * _CALL + products + moved + traffic(problem)) * Accuracy(factor=form.factor).price


#: By the name of the form's kernel.
winograd = SimpleNamespace(**{name: partial(_winograd, form) for name, form in FORMS.items()})


def integers(problem: Problem) -> float:
    """By operations at the rate of tensor cores on bytes, or by traffic."""
    w = shape_of(problem.inputs[AT[problem.op]["w"]])
    taps = prod(w[1:]) if "Conv" in problem.op else w[0]
    return max(2.0 * taps * prod(shape_of(problem.outputs[0])) / 400e12, traffic(problem))


def library(problem: Problem) -> float:
    """A kernel of NVIDIA's libraries, which has to be measured to be preferred."""
    return 1.1 * plain(problem)


def library_tensor(problem: Problem) -> float:
    """The same with TF32."""
    return 1.1 * tensor(problem)


def _is_together(problem: Problem) -> bool:
    """Whether neighbouring threads read and write what lies together."""
    x, y = problem.inputs[0], problem.outputs[0]
    few = "Conv" not in problem.op or shape_of(x)[1] < 4
    return few or all(isinstance(t, TensorType) and t.layout.name != "plain" for t in (x, y))


def _later(model: Callable[[Problem], float], place: int, problem: Problem) -> float:
    """A choice that its own model puts behind others."""
    return (1 + 0.01 * place) * model(problem)


#: By the name of the cost and what follows the kernel's.
later = SimpleNamespace(**{
    f"{model.__name__}{suffix}": partial(_later, model, place)
    for model in (plain, tensor, integers)
    for suffix, place in CHOICES.items()
})  # fmt: skip
