"""InferenceSession as its users meet it: inputs, outputs, feeds, shapes, threads, binding, profiles."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import toys
from fakes import small_network
from onnx import TensorProto, helper, numpy_helper, parser

import orpheus_core as orpheus
from orpheus_core import discovery
from orpheus_core.plugin import Backend, Kernel, Rule

pytest.importorskip("orpheus_numpy")
F = TensorProto.FLOAT


def text_model(graph: str) -> onnx.ModelProto:
    return parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]>\n{graph}')


def session(model: Any, **more: Any) -> Any:
    return orpheus.InferenceSession(model, providers=["numpy"], **more)


def draw(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_inputs_and_outputs_as_onnx_runtime_names_them() -> None:
    s = session(small_network())
    (x,) = s.get_inputs()
    assert (x.name, x.type, x.shape) == ("x", "tensor(float)", ["N", 3, 8, 8])
    (y,) = s.get_outputs()
    assert (y.name, y.type, y.shape) == ("y", "tensor(float)", ["N", 5])
    assert s.get_providers()[0] == "numpy"


@pytest.mark.parametrize(
    ("feeds", "words"),
    [
        ({}, "missing input 'x': float32[N,3,8,8]"),
        ({"X": draw(1, 3, 8, 8)}, "no input 'X'; its inputs are 'x': float32[N,3,8,8]; did you mean 'x'"),
        ({"x": draw(1, 3, 8, 8).astype(np.float64)}, "element type float64, expected float32"),
        ({"x": draw(3, 8, 8)}, "rank 3 (shape [3, 8, 8]), expected rank 4"),
        ({"x": draw(1, 4, 8, 8)}, "dimension 1 must be 3, not 4"),
        ({"x": [[1.0]]}, "must be a numpy array or support DLPack, not list"),
        ([draw(1, 3, 8, 8)], "must be a mapping"),
    ],
)
def test_wrong_feeds_are_refused_by_name(feeds: Any, words: str) -> None:
    with pytest.raises(orpheus.InputError) as caught:
        session(small_network()).run(None, feeds)
    assert words in str(caught.value)


def test_one_symbol_is_one_size() -> None:
    model = text_model("g (float[N] a, float[N] b) => (float[N] c) { c = Add(a, b) }")
    with pytest.raises(orpheus.InputError, match="is 'N', which is 2 in input 'a'"):
        session(model).run(None, {"a": draw(2), "b": draw(3)})


def test_unknown_output_names_are_refused_and_known_ones_ordered() -> None:
    model = text_model("g (float[2] x) => (float[2] a, float[2] b) { a = Neg(x)\n b = Abs(x) }")
    s = session(model)
    x = draw(2)
    b, a = s.run(["b", "a"], {"x": x})
    np.testing.assert_array_equal(a, -x)
    np.testing.assert_array_equal(b, np.abs(x))
    with pytest.raises(orpheus.InputError, match="no output 'c'"):
        s.run(["c"], {"x": x})


def test_each_input_shape_gets_a_plan_and_the_cache_is_bounded() -> None:
    from orpheus_core.plan.executable import MAX_PLANS

    s = session(small_network())
    whole = draw(40, 3, 8, 8)
    want = session(small_network(), shapes={"x": [40, 3, 8, 8]}).run(None, {"x": whole})[0]
    for size in (1, 2, 1, 40, *range(3, 30)):
        (got,) = s.run(None, {"x": whole[:size]})
        np.testing.assert_allclose(got, want[:size], rtol=1e-5, atol=1e-6)
    assert s.stats.plans == MAX_PLANS


def test_shapes_given_at_load_fix_the_plan() -> None:
    s = session(small_network(), shapes={"x": [2, 3, 8, 8]})
    assert s.get_inputs()[0].shape == [2, 3, 8, 8]
    assert s.get_outputs()[0].shape == [2, 5]
    assert s.kernel_plan()
    with pytest.raises(orpheus.InputError, match="dimension 0 must be 2"):
        s.run(None, {"x": draw(1, 3, 8, 8)})


def test_open_shapes_have_no_plan_before_the_first_run() -> None:
    s = session(small_network())
    assert not s.explain().is_final
    with pytest.raises(orpheus.UsageError, match="input shapes are open"):
        s.kernel_plan()
    s.run(None, {"x": draw(1, 3, 8, 8)})
    assert s.explain().is_final
    assert s.kernel_plan()


def test_zero_sized_batches_run() -> None:
    (y,) = session(small_network()).run(None, {"x": draw(0, 3, 8, 8)})
    assert y.shape == (0, 5)


def test_data_dependent_shapes() -> None:
    model = text_model(
        """g (float[N] x) => (float[M] y, int64[1, K] at) {
            zero = Constant <value_float: float = 0.0> ()
            positive = Greater (x, zero)
            at = NonZero (positive)
            flat = Squeeze (at)
            axes = Constant <value_ints: ints = [0]> ()
            row = Squeeze (at, axes)
            picked = Gather (x, row)
            y = Mul (picked, picked)
        }"""
    )
    s = session(model)
    for n in (5, 9, 5):
        x = draw(n, seed=n)
        y, at = s.run(None, {"x": x})
        np.testing.assert_array_equal(at[0], np.nonzero(x > 0)[0])
        np.testing.assert_allclose(y, x[x > 0] ** 2, rtol=1e-6)


def test_a_full_form_kernel_on_shapes_known_only_in_the_run() -> None:
    model = text_model(
        """g (float[1, 2, 4, N] x, float[1, 2, 4, 1] k) => (float[1, 2, 4, M] y) {
            zero = Constant <value_float: float = 0.0> ()
            mask = Greater (x, zero)
            at = NonZero (mask)
            three = Constant <value_int: int = 3> ()
            row = Gather <axis: int = 0> (at, three)
            picked = Gather <axis: int = 3> (x, row)
            y = Add (picked, k)
        }"""
    )
    full = Backend(name="full", api=1, kernels=(Kernel(op="Add", name="f", prepare="toys:LateAdd"),))
    with discovery.override(full, keep_installed=True):
        s = orpheus.InferenceSession(model, providers=["full", "numpy"], fallback="error")
        for n in (3, 6, 3):
            x, k = draw(1, 2, 4, n, seed=n), draw(1, 2, 4, 1)
            (y,) = s.run(None, {"x": x, "k": k})
            np.testing.assert_array_equal(y, x[..., np.nonzero(x > 0)[3]] + k)
        assert "full:Add/f" in [r.kernel_id for r in s.kernel_plan()]
    assert toys.LateAdd.prepared == 2


def test_a_kernel_chosen_during_the_run_gets_scalars_as_scalars() -> None:
    model = text_model(
        """g (float[4] x, float k) => (float[M] y) { b = Cast <to = 9> (x) c = Compress (x, b) y = Add (c, k) }"""
    )
    full = Backend(name="full", api=1, kernels=(Kernel(op="Add", name="f", prepare="toys:LateStrict"),))
    with discovery.override(full, keep_installed=True):
        s = orpheus.InferenceSession(model, providers=["full", "numpy"])
        (y,) = s.run(None, {"x": np.float32([1, 0, 2, 3]), "k": np.array(1, np.float32)})
    assert y.tolist() == [2, 3, 4]
    assert "full:Add/f" in [r.kernel_id for r in s.kernel_plan()]


def test_a_kernel_chosen_during_the_run_is_not_called_twice_at_once_unless_it_allows_that() -> None:
    model = text_model(
        "g (float[4] x) => (float[M] y) { b = Cast <to = 9> (x) c = Compress (x, b) y = Add (c, c) }"
    )
    never = Rule("A.shape[0]", "<", 0)
    kernels = (
        Kernel(op="Add", name="promised", prepare="toys:LateAdd", overlap=True, where=(never,), rank=1),
        Kernel(op="Add", name="chosen", prepare="toys:OneAtATime"),
    )
    full = Backend(name="full", api=1, kernels=kernels)
    x = np.float32([1, 0, 2, 3])
    with discovery.override(full, keep_installed=True):
        s = orpheus.InferenceSession(model, providers=["full", "numpy"])
        threads = [threading.Thread(target=lambda: [s.run(None, {"x": x}) for _ in range(8)]) for _ in "abcd"]
        for t in threads:
            t.start()
        for t in threads:
            t.join(60)
        assert s.run(None, {"x": x})[0].tolist() == [2, 4, 6]
    assert "full:Add/promised" in [r.kernel_id for r in s.kernel_plan()]
    assert toys.OneAtATime.collisions == 0


def test_if_takes_only_the_branch_and_captures_outer_values() -> None:
    model = text_model(
        """g (bool c, float[N] x) => (float[M] y) {
            d = Add (x, x)
            y = If (c) <
                then_branch = t () => (float[A] a) { a = Neg (d) },
                else_branch = e () => (float[B] b) { b = Concat <axis: int = 0> (d, x) }
            >
        }"""
    )
    s = session(model)
    x = draw(3)
    np.testing.assert_array_equal(s.run(None, {"c": np.array(True), "x": x})[0], -2 * x)
    np.testing.assert_array_equal(s.run(None, {"c": np.array(False), "x": x})[0], np.concatenate([2 * x, x]))


def test_loop_state_may_grow() -> None:
    model = text_model(
        """g (int64 m, float[N] x) => (float[M] y, float[K, L] rows) {
            c = Constant <value: tensor = bool {1}> ()
            y, rows = Loop (m, c, x) <
                body = b (int64 i, bool cin, float[P] s) => (bool cout, float[Q] t, float[1] r) {
                    cout = Identity (cin)
                    t = Concat <axis: int = 0> (s, s)
                    axes = Constant <value_ints: ints = [0]> ()
                    r = ReduceSum (t, axes)
                }
            >
        }"""
    )
    x = draw(2)
    y, rows = session(model).run(None, {"m": np.array(3), "x": x})
    np.testing.assert_array_equal(y, np.tile(x, 8))
    np.testing.assert_allclose(rows[:, 0], [x.sum() * k for k in (2, 4, 8)], rtol=1e-5)


def test_inputs_with_defaults_may_be_left_out_or_overridden() -> None:
    w = numpy_helper.from_array(np.array([2.0, 3.0], np.float32), "w")
    infos = [helper.make_tensor_value_info(n, F, [2]) for n in "xwy"]
    graph = helper.make_graph([helper.make_node("Mul", ["x", "w"], ["y"])], "g", infos[:2], infos[2:], [w])
    s = session(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=8))
    assert [i.name for i in s.get_inputs()] == ["x"]
    assert [i.name for i in s.get_overridable_initializers()] == ["w"]
    x = draw(2)
    np.testing.assert_array_equal(s.run(None, {"x": x})[0], x * np.array([2, 3], np.float32))
    w2 = draw(2, seed=3)
    np.testing.assert_array_equal(s.run(None, {"x": x, "w": w2})[0], x * w2)
    np.testing.assert_array_equal(s.bind({"x": x, "w": w2})()[0], x * w2)
    np.testing.assert_array_equal(s.bind({"x": x})()[0], x * np.array([2, 3], np.float32))
    np.testing.assert_array_equal(s.run(None, {"x": x})[0], x * np.array([2, 3], np.float32))


def test_runs_from_many_threads_are_as_runs_in_a_row() -> None:
    s = session(small_network())
    feeds = [draw(1 + i % 3, 3, 8, 8, seed=i) for i in range(24)]
    want = [s.run(None, {"x": x})[0] for x in feeds]
    got: list[Any] = [None] * len(feeds)
    errors: list[BaseException] = []

    def work(start: int) -> None:
        try:
            for _ in range(5):
                for i in range(start, len(feeds), 6):
                    got[i] = s.run(None, {"x": feeds[i]})[0]
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert not errors
    for a, b in zip(got, want):
        np.testing.assert_array_equal(a, b)


def test_io_binding_reads_and_writes_in_place() -> None:
    s = session(small_network(), shapes={"x": [2, 3, 8, 8]})
    x, y = draw(2, 3, 8, 8), np.empty((2, 5), np.float32)
    binding = s.io_binding()
    binding.bind_input("x", x)
    binding.bind_output("y", y)
    s.run_with_iobinding(binding)
    assert binding.in_place() == {"x", "y"}
    # The plan's own operands are the caller's arrays: nothing is copied in or out.
    slots = binding._bound.context.slots
    assert any(a is x for a in slots)
    assert any(a is y for a in slots)
    np.testing.assert_allclose(y, s.run(None, {"x": x})[0], rtol=1e-6)
    x[:] = draw(2, 3, 8, 8, seed=5)
    s.run_with_iobinding(binding)
    np.testing.assert_allclose(y, s.run(None, {"x": x})[0], rtol=1e-6)
    assert binding.get_outputs()[0] is y


def test_a_bound_call_reads_its_feeds_at_each_call_and_gives_new_outputs() -> None:
    s = session(small_network(), shapes={"x": [2, 3, 8, 8]})
    x = draw(2, 3, 8, 8)
    call = s.bind({"x": x})
    first = call()
    np.testing.assert_array_equal(first[0], s.run(None, {"x": x})[0])
    kept = first[0].copy()
    x[:] = draw(2, 3, 8, 8, seed=5)
    second = call()
    np.testing.assert_array_equal(second[0], s.run(None, {"x": x})[0])
    np.testing.assert_array_equal(first[0], kept)
    assert not np.array_equal(first[0], second[0])


def test_a_bound_call_checks_its_feeds_when_it_is_made() -> None:
    s = session(small_network())
    with pytest.raises(orpheus.InputError, match="'x'"):
        s.bind({})
    with pytest.raises(orpheus.InputError, match="no input 'z'"):
        s.bind({"x": draw(2, 3, 8, 8), "z": draw(1)})
    with pytest.raises(orpheus.InputError, match="float64"):
        s.bind({"x": np.zeros((2, 3, 8, 8))})


def test_io_binding_checks_what_is_bound() -> None:
    s = session(small_network())
    binding = s.io_binding()
    with pytest.raises(orpheus.InputError, match="no input 'z'"):
        binding.bind_input("z", draw(1))
    binding.bind_input("x", draw(2, 3, 8, 8))
    binding.bind_output("y", np.empty((1, 5), np.float32))
    with pytest.raises(orpheus.InputError, match=r"bound to an array of float32\[1, 5\]"):
        s.run_with_iobinding(binding)
    binding.clear_binding_outputs()
    binding.bind_output("y")
    s.run_with_iobinding(binding)
    assert binding.get_outputs()[0].shape == (2, 5)


def test_io_binding_of_memory_that_overlaps_gives_what_run_gives() -> None:
    s = session(
        text_model("""agraph (float[5] x, int64 axis) => (float[5] y, float[5] z) {
        y = CumSum(x, axis)
        z = Add(y, x)
    }""")
    )
    memory, axis = np.arange(6, dtype=np.float32), np.array(0)
    x, shifted, z = memory[:5], memory[1:], np.empty(5, np.float32)
    y_wanted, z_wanted = s.run(None, {"x": x, "axis": axis})
    for array in (x, shifted):
        memory[:] = np.arange(6)
        binding = s.io_binding()
        binding.bind_input("x", x)
        binding.bind_input("axis", axis)
        binding.bind_output("y", array)
        binding.bind_output("z", z)
        s.run_with_iobinding(binding)
        np.testing.assert_array_equal(array, y_wanted)
        np.testing.assert_array_equal(z, z_wanted)
        assert "y" not in binding.in_place()


def test_io_binding_sees_subclasses_of_arrays_as_arrays() -> None:
    s = session(text_model("agraph (float[2,2] x) => (float[1,1] y) { y = ReduceMax<keepdims=1>(x) }"))
    binding = s.io_binding()
    binding.bind_input("x", np.ma.array(np.float32([[1, 2], [3, 4]]), mask=[[0, 0], [0, 1]]))
    binding.bind_output("y", np.zeros((1, 1), np.float32))
    s.run_with_iobinding(binding)
    assert binding.get_outputs()[0] == 4


def test_io_binding_reads_anew_what_it_has_to_convert() -> None:
    s = session(text_model("agraph (float[2] x) => (float[2] y) { y = Neg(x) }"))
    x = np.array([1, 2], ">f4")
    binding = s.io_binding()
    binding.bind_input("x", x)
    for values in ([1, 2], [3, 4]):
        x[:] = values
        s.run_with_iobinding(binding)
        assert binding.get_outputs()[0].tolist() == [-v for v in values]
    assert "x" not in binding.in_place()


def test_an_output_that_is_listed_twice_is_two_arrays() -> None:
    s = session(text_model("agraph (float[4] x) => (int64[1,n] i, int64[1,n] i) { i = NonZero(x) }"))
    first, second = s.run(None, {"x": np.float32([0, 1, 0, 2])})
    first[:] = 9
    assert second.tolist() == [[1, 3]]


class Foreign:
    """An array of another library: all it offers is DLPack."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def __dlpack__(self, **more: Any) -> Any:
        return self._array.__dlpack__(**more)

    def __dlpack_device__(self) -> Any:
        return self._array.__dlpack_device__()


def test_dlpack_in_and_out() -> None:
    s = session(small_network())
    x = draw(1, 3, 8, 8)
    (y,) = s.run(None, {"x": Foreign(x)})
    np.testing.assert_array_equal(np.from_dlpack(y), s.run(None, {"x": x})[0])


def test_profile_names_every_step_and_writes_a_trace(tmp_path: Path) -> None:
    s = session(small_network(), shapes={"x": [1, 3, 8, 8]})
    profile = s.profile({"x": draw(1, 3, 8, 8)})
    kernels = [r.kernel_id for r in s.kernel_plan() if not r.kernel_id.startswith("core:")]
    assert [r.kernel for r in profile.rows] == kernels
    profile.save_chrome_trace(tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert [e["args"]["kernel"] for e in events] == kernels
    assert all(e["ph"] == "X" and e["dur"] > 0 for e in events)


def test_profiling_a_whole_session_as_onnx_runtime_does(tmp_path: Path) -> None:
    options = orpheus.SessionOptions(enable_profiling=True, profile_file_prefix=str(tmp_path / "p"))
    s = orpheus.InferenceSession(small_network(), options, providers=["numpy"])
    for _ in range(3):
        s.run(None, {"x": draw(1, 3, 8, 8)})
    events = json.loads(Path(s.end_profiling()).read_text())["traceEvents"]
    assert {e["args"]["run"] for e in events} == {0, 1, 2}


def test_a_failing_kernel_is_named_with_its_node() -> None:
    bad = Backend(name="bad", api=1, kernels=(Kernel(op="Neg", name="k", run="toys:fails"),))
    model = text_model("g (float[2] x) => (float[2] y) { a = Abs(x)\n y = Neg(a) }")
    with discovery.override(bad, keep_installed=True):
        s = orpheus.InferenceSession(model, providers=["bad", "numpy"])
        with pytest.raises(orpheus.KernelError, match=r"'y' \(Neg, bad:Neg/k\): RuntimeError: on purpose"):
            s.run(None, {"x": draw(2)})


@pytest.mark.parametrize("kernel", ["wrong_shape", "wrong_dtype"])
def test_a_kernel_that_returns_the_wrong_thing_is_caught(kernel: str) -> None:
    bad = Backend(name="bad", api=1, kernels=(Kernel(op="Neg", name="k", run=f"toys:{kernel}"),))
    model = text_model("g (float[2] x) => (float[2] y) { y = Neg(x) }")
    with discovery.override(bad), pytest.raises(orpheus.KernelError, match="planned float32"):
        orpheus.InferenceSession(model).run(None, {"x": draw(2)})


def test_settings_are_checked() -> None:
    model = small_network()
    with pytest.raises(orpheus.BackendError, match="not installed"):
        orpheus.InferenceSession(model, providers=["nowhere"])
    with pytest.raises(orpheus.UsageError, match="list of backend names"):
        orpheus.InferenceSession(model, providers="numpy")
    with pytest.raises(orpheus.UsageError, match="each once"):
        orpheus.InferenceSession(model, providers=["numpy", "numpy"])
    with pytest.raises(orpheus.UsageError, match="threads must be"):
        session(model, threads=0)
    with pytest.raises(orpheus.UsageError, match="policy 'fastest'"):
        session(model, policy="fastest")
    with pytest.raises(orpheus.UsageError, match="there is no pass"):
        session(model, disable_passes=["nope"])


def test_an_operator_nobody_has_is_refused_at_load_with_its_name() -> None:
    model = text_model("g (float[2] x) => (float[2] y) { a = Abs(x)\n y = Neg(a) }")
    only_abs = Backend(name="tiny", api=1, kernels=(Kernel(op="Abs", name="k", run="toys:neg"),))
    with discovery.override(only_abs), pytest.raises(orpheus.UnsupportedModelError, match=r"implements: Neg"):
        orpheus.InferenceSession(model)
