"""Runs one kernel on given arrays in any layout and instruction set, and judges it against float64."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from orpheus_core.errors import BackendError
from orpheus_core.ops import find_spec, latest_version
from orpheus_core.plugin import Problem
from orpheus_core.selection.invoke import HOST
from orpheus_core.selection.reorder import from_layout, to_layout
from orpheus_core.types import DType, Layout, TensorType


def _neighbour(name):
    """A module beside this file, which is no package."""
    spec = importlib.util.spec_from_file_location(
        f"openmp_tests_{name}", Path(__file__).with_name(f"{name}.py")
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


REMOTE = _neighbour("remote").stand_in()


def _isas():
    try:
        from orpheus_openmp import isa

        if REMOTE is not None:
            isa.native = lambda: REMOTE
        return isa.available()
    except (ImportError, BackendError):
        return ()


ISAS = _isas()


def pytest_collection_modifyitems(config, items):
    if REMOTE is not None:  # what is about this process's own module is not about the runner's kernels
        # Chains are run by the module's native code, which the runner does not have.
        ours = [i for i in items if "isa" in i.fixturenames and i.path.name != "test_chain.py"]
        config.hook.pytest_deselected(items=[item for item in items if item not in ours])
        items[:] = ours
    if not ISAS:
        mark = pytest.mark.skip(reason="orpheus-openmp's native module is not built")
        for item in items:
            if "orpheus-openmp" in str(item.path) and "without_its_module" not in item.name:
                item.add_marker(mark)


def pytest_generate_tests(metafunc):
    if "isa" in metafunc.fixturenames:
        metafunc.parametrize("isa", ISAS or ("none",))


@pytest.fixture
def layers(isa):
    """``layers.run``, ``layers.problem`` and ``layers.blocked`` for one instruction set."""
    from orpheus_openmp import isa as isas

    block = isas.tile(isa)[0]
    return SimpleNamespace(
        run=lambda cls, problem, inputs: run(cls, problem, inputs, isa),
        problem=problem_of,
        block=block,
        blocked=f"NCHW{block}c",
        isa=isa,
    )


def problem_of(op, inputs, shapes, attributes=(), *, layouts=(), out=(), constants=(), domain="", threads=1):
    """The problem of a node on these arrays; ``shapes`` are the outputs', None for one that is left out."""
    version = latest_version(domain)
    spec = find_spec(domain, op, version)
    place = dict(enumerate(layouts))
    return Problem(
        op=op,
        domain=domain,
        version=version,
        attributes={**spec.defaults, **dict(attributes)},
        inputs=tuple(
            None if x is None else TensorType(DType.FLOAT32, x.shape, Layout(place.get(i, "plain")))
            for i, x in enumerate(inputs)
        ),
        outputs=tuple(
            None
            if s is None
            else TensorType(DType.FLOAT32, tuple(s), Layout(out[i] if i < len(out) else "plain"))
            for i, s in enumerate(shapes)
        ),
        constants={i: inputs[i] for i in constants if i < len(inputs) and inputs[i] is not None},
        input_names=spec.input_names,
        output_names=spec.output_names,
        threads=threads,
    )


def run(cls, problem, inputs, isa):
    """The outputs of a prepared layer as plain arrays; pads of blocked results are checked to be zero."""
    prepared = cls(problem, isa)
    given = [
        None if x is None or i in prepared.packed else to_layout(x, t.layout)
        for i, (x, t) in enumerate(zip(inputs, problem.inputs))
    ]
    # Memory holds what others left there.
    outputs = [
        None if t is None else np.full(t.layout.physical_shape(t.static_shape), np.nan, np.float32)
        for t in problem.outputs
    ]
    workspace = HOST.arena(prepared.workspace) if prepared.workspace else None
    if workspace is not None:
        workspace[:] = 255
    step = prepared.bind(given, outputs, workspace)
    step()
    first = [None if y is None else y.copy() for y in outputs]
    step()
    results = []
    for y, again, type_ in zip(first, outputs, problem.outputs):
        if y is None:
            results.append(None)
            continue
        np.testing.assert_array_equal(y, again, err_msg="a second call gives other bits")
        plain = from_layout(y, type_.layout, type_.static_shape)
        np.testing.assert_array_equal(to_layout(plain, type_.layout), y, err_msg="pads are not zero")
        results.append(plain)
    return results


def assert_sum(got, exact, magnitude, length, factor=1.0):
    """``|got - exact| <= (2 + sqrt K) * factor * eps * sum |x||w|``, K being the number of terms of a sum."""
    bound = (2 + math.sqrt(length)) * factor * np.finfo(np.float32).eps * magnitude + 1e-37
    error = np.abs(got.astype(np.float64) - exact)
    assert got.shape == exact.shape
    worst = np.unravel_index(np.argmax(error - bound), error.shape)
    assert np.all(error <= bound), f"error {error[worst]:.3g} above {bound[worst]:.3g} at {worst}"


@pytest.fixture
def bound():
    """The judge of sums."""
    return assert_sum
