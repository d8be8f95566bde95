"""Every convolution kernel against float64, over drawn shapes and attributes."""

from __future__ import annotations

import itertools
from functools import partial

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from orpheus_numpy.nn.conv import conv as reference

from orpheus_core.errors import KernelError

convolutions = pytest.importorskip("orpheus_openmp.conv", reason="orpheus-openmp is not installed")
winograd = pytest.importorskip("orpheus_openmp.winograd", reason="orpheus-openmp is not installed")
isas = pytest.importorskip("orpheus_openmp.isa", reason="orpheus-openmp is not installed")
FORMS = pytest.importorskip("orpheus_openmp.cook_toom", reason="orpheus-openmp is not installed").FORMS
Im2col = pytest.importorskip("orpheus_openmp.im2col", reason="orpheus-openmp is not installed").Im2col

#: Forms, and whether their input is plain.
FORMATS = [(name, plain) for name, form in FORMS.items() for plain in {False, form.plain}]

DRAWN = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def cases(draw, *, kernels=((1, 7), (1, 7)), stride=(1, 3), dilation=2, groups="none", pads=3):
    """X, W and attributes; ``groups`` is none, some or depthwise, and sizes are not those of any block.

    Pads reach up to ``pads``, up to half the kernel when None.
    """
    kernel = tuple(draw(st.integers(*k)) for k in kernels)
    strides = tuple(draw(st.integers(*stride)) for _ in kernel)
    dilations = tuple(draw(st.integers(1, dilation)) for _ in kernel)
    before = tuple(draw(st.integers(0, k // 2 if pads is None else pads)) for k in kernel)
    after = tuple(draw(st.integers(0, k // 2 if pads is None else pads)) for k in kernel)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations)]
    size = tuple(max(1, r - b - a) + draw(st.integers(0, 33)) for r, b, a in zip(reach, before, after))
    batch = draw(st.integers(1, 2))
    if groups == "depthwise":
        group = channels = filters = draw(st.integers(1, 40))
    else:
        group = draw(st.integers(1, 2)) if groups == "some" else 1
        unit = 16 if group > 1 and groups == "some" else 1
        channels = unit * group * draw(st.integers(1, 3 if unit > 1 else 40))
        filters = unit * group * draw(st.integers(1, 3 if unit > 1 else 70))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    x = rng.standard_normal((batch, channels, *size)).astype(np.float32)
    w = rng.standard_normal((filters, channels // group, *kernel)).astype(np.float32)
    attributes = {"group": group, "strides": strides, "dilations": dilations, "pads": (*before, *after)}
    return x, w, attributes


def judge(layers, cls, case, bound, *, tall=None, **how):
    """One Conv with a bias; with or without the register tile for short rows, or as this machine prefers."""
    with pytest.MonkeyPatch.context() as patch:
        if tall is not None:
            patch.setattr(convolutions, "prefers_tall", lambda isa: tall)
        compare(layers, cls, case, bound, **how)


def compare(
    layers, cls, case, bound, *, plain_in=False, plain_out=False, factor=1.0, transforms=False, threads=1
):
    """``transforms`` mix a tile's pixels and a filter's taps: each counts as the largest does."""
    x, w, attributes = case
    rng = np.random.default_rng(1)
    b = rng.standard_normal(w.shape[0]).astype(np.float32)
    exact = reference(x.astype(np.float64), w.astype(np.float64), b.astype(np.float64), **attributes)
    large = [abs(v).astype(np.float64) for v in (x, w, b)]
    if transforms:
        large[:2] = [np.broadcast_to(v.max((2, 3), keepdims=True), v.shape) for v in large[:2]]
    size = reference(*large, **attributes)
    if transforms:
        size = np.broadcast_to(size.max((2, 3), keepdims=True), size.shape)
    problem = layers.problem(
        "Conv",
        [x, w, b],
        [exact.shape],
        attributes,
        threads=threads,
        layouts=("plain" if plain_in else layers.blocked,),
        out=("plain" if plain_out else layers.blocked,),
        constants=(1, 2),
    )
    (got,) = layers.run(cls, problem, [x, w, b])
    bound(got, exact, size, np.prod(w.shape[1:]) + 1, factor)


@DRAWN
@given(case=cases(groups="some"), threads=st.integers(1, 3), tall=st.booleans())
def test_direct(layers, bound, case, threads, tall):
    judge(layers, convolutions.Direct, case, bound, threads=threads, tall=tall)


@DRAWN
@given(case=cases(groups="some"), tall=st.booleans())
def test_direct_from_plain(layers, bound, case, tall):
    judge(layers, convolutions.Direct, case, bound, plain_in=True, tall=tall)


@DRAWN
@given(
    case=cases(kernels=((1, 1), (1, 1)), pads=0, groups="some"),
    threads=st.integers(1, 3),
)
def test_pointwise(layers, bound, case, threads):
    judge(layers, convolutions.Pointwise, case, bound, threads=threads)


def test_pointwise_cuts_its_channels(layers, bound):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 515, 15, 16)).astype(np.float32)
    w = rng.standard_normal((35, 515, 1, 1)).astype(np.float32)
    judge(layers, convolutions.Pointwise, (x, w, {}), bound)


@pytest.mark.parametrize("tall", [False, True])
@pytest.mark.parametrize("size", [(7, 7), (1, 3), (8, 29)])
def test_direct_cuts_its_channels(layers, bound, size, tall):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 800, *size)).astype(np.float32)
    w = rng.standard_normal((35, 800, 3, 7)).astype(np.float32)
    judge(layers, convolutions.Direct, (x, w, {"pads": (1, 3, 1, 3)}), bound, threads=2, tall=tall)


@DRAWN
@given(case=cases(groups="depthwise", kernels=((1, 6), (1, 6))), threads=st.integers(1, 3))
def test_depthwise(layers, bound, case, threads):
    judge(layers, convolutions.Depthwise, case, bound, threads=threads)


@pytest.mark.parametrize("size", [(31, 33), (1, 1), (6, 5), (7, 7), (9, 18), (12, 13)])
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("pads", ["same", "uneven", "beyond"])
def test_depthwise_of_the_tuned_sizes(layers, bound, kernel, stride, pads, size):
    half = kernel // 2
    pads = {"same": (half,) * 4, "uneven": (kernel, 0, 1, kernel), "beyond": (kernel + 1,) * 4}[pads]
    if any(d + pads[i] + pads[i + 2] < kernel for i, d in enumerate(size)):
        size = (kernel, kernel + 1)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 37, *size)).astype(np.float32)
    w = rng.standard_normal((37, 1, kernel, kernel)).astype(np.float32)
    attributes = {"group": 37, "strides": (stride, stride), "pads": pads}
    judge(layers, convolutions.Depthwise, (x, w, attributes), bound, threads=2)


@pytest.mark.parametrize("form", FORMS)
@settings(DRAWN, max_examples=12)
@given(data=st.data(), threads=st.integers(1, 3), tall=st.booleans())
def test_winograd(layers, bound, form, data, threads, tall):
    found = FORMS[form]
    kernels = tuple((taps, taps) for taps in found.kernel)
    case = data.draw(cases(kernels=kernels, stride=(found.step, found.step), dilation=1, pads=None))
    plain = found.plain and data.draw(st.booleans())
    judge(
        layers, getattr(winograd.layers, form), case, bound,
        factor=found.factor, transforms=True, threads=threads, plain_in=plain, tall=tall,
    )  # fmt: skip


@pytest.mark.parametrize("tall", [False, True])
@pytest.mark.parametrize("form,plain", FORMATS)
def test_winograd_in_cuts_and_bands(layers, bound, form, plain, tall):
    """More channels than one cut, more rows than one band, threads that share out bands, chunks and tiles."""
    found = FORMS[form]
    rng = np.random.default_rng(0)
    for channels, filters, size, auto_pad, threads in (
        (301, 21, (9, 8), "SAME_UPPER", 1),
        (66, 35, (37, 41), "SAME_LOWER", 2),
        (20, 70, (17, 17), "VALID", 3),
        (20, 130, (9, 9), "SAME_UPPER", 2),
    ):
        x = np.maximum(rng.standard_normal((1, channels, *size)), 0).astype(np.float32)
        w = rng.standard_normal((filters, channels, *found.kernel)).astype(np.float32)
        case = x, w, {"auto_pad": auto_pad, "strides": (found.step, found.step)}
        judge(
            layers, getattr(winograd.layers, form), case, bound,
            factor=found.factor, transforms=True, threads=threads, plain_in=plain, tall=tall,
        )  # fmt: skip


@pytest.mark.parametrize("form", [name for name, found in FORMS.items() if found.fly])
def test_winograd_of_weights_that_stay_as_they_are(layers, bound, form):
    """Few tiles, whose transform stays in registers, and more; whole and half blocks of channels, one image and two."""
    rng = np.random.default_rng(0)
    for channels, filters, size, batch, threads in itertools.product(
        (35,), (19, 64), range(1, 14, 3), (1, 2), (1, 2)
    ):
        x = np.maximum(rng.standard_normal((batch, channels, size, size + 1)), 0).astype(np.float32)
        w = rng.standard_normal((filters, channels, 3, 3)).astype(np.float32)
        judge(
            layers, getattr(winograd.layers, form), (x, w, {"pads": (1, 1, 1, 1)}), bound,
            factor=FORMS[form].factor, transforms=True, threads=threads,
        )  # fmt: skip


@pytest.mark.parametrize("form", [name for name, found in FORMS.items() if found.fly])
def test_weights_that_stay_as_they_are_take_no_more_room(layers, form):
    x, w = np.zeros((1, 64, 8, 8), np.float32), np.zeros((64, 64, 3, 3), np.float32)
    problem = layers.problem(
        "Conv",
        [x, w],
        [(1, 64, 8, 8)],
        {"pads": (1,) * 4},
        layouts=(layers.blocked,),
        out=(layers.blocked,),
        constants=(1,),
    )
    assert getattr(winograd.layers, form)(problem, layers.isa).values["w"].nbytes == w.nbytes


def test_short_rows_have_tall_tiles_where_they_are_preferred(monkeypatch):
    monkeypatch.setattr(convolutions, "prefers_tall", lambda isa: True)
    vectors = partial(convolutions.tile_vectors, "avx512")
    if "avx512" not in isas.available():
        pytest.skip("this machine has no AVX-512")
    assert [vectors(pixels, 8) for pixels in (1, 7, 9, 10, 14, 15, 18, 19, 28)] == [3, 3, 3, 2, 2, 3, 3, 2, 2]
    assert [vectors(7, blocks) for blocks in (1, 2, 3, 4)] == [2, 2, 3, 3]
    monkeypatch.setattr(convolutions, "prefers_tall", lambda isa: False)
    assert vectors(7, 8) == 2


@pytest.mark.parametrize("channels", [3, 512])
def test_winograd_is_within_a_hundred_thousandth_of_the_range(layers, channels):
    """What the backend promises of any layer, at the depth of the deepest networks and of their first layer."""
    rng = np.random.default_rng(0)
    for form, plain in FORMATS:
        found = FORMS[form]
        x = np.maximum(rng.standard_normal((1, channels, 12 * found.step, 12 * found.step)), 0).astype(
            np.float32
        )
        w = rng.standard_normal((32, channels, *found.kernel)).astype(np.float32)
        words = {"strides": (found.step, found.step)}
        exact = reference(x.astype(np.float64), w.astype(np.float64), **words)
        problem = layers.problem(
            "Conv", [x, w], [exact.shape], words, layouts=("plain" if plain else layers.blocked,),
            out=(layers.blocked,), constants=(1,),
        )  # fmt: skip
        (got,) = layers.run(getattr(winograd.layers, form), problem, [x, w])
        error = np.abs(got - exact).max() / (exact.max() - exact.min())
        assert error < 1e-5, f"{form}: {error:.2g}"


@pytest.mark.parametrize("form", [name for name, found in FORMS.items() if not found.plain])
def test_a_plain_input_is_refused_where_a_form_reads_none(layers, form):
    x, w = np.zeros((1, 3, 16, 16), np.float32), np.zeros((8, 3, *FORMS[form].kernel), np.float32)
    problem = layers.problem("Conv", [x, w], [(1, 8, 8, 8)], out=(layers.blocked,), constants=(1,))
    with pytest.raises(KernelError, match="reads a blocked input"):
        getattr(winograd.layers, form)(problem, layers.isa)


@DRAWN
@given(case=cases(groups="some"), threads=st.integers(1, 3))
def test_im2col(layers, bound, case, threads):
    judge(layers, Im2col, case, bound, plain_in=True, plain_out=True, threads=threads)


@pytest.mark.parametrize("name", ["Direct", "Pointwise", *FORMS])
def test_pads_stay_zero_beside_infinity(layers, name):
    cls = getattr(convolutions, name, None) or getattr(winograd.layers, name)
    size = FORMS[name].kernel if name in FORMS else (1, 1) if name == "Pointwise" else (3, 3)
    step = FORMS[name].step if name in FORMS else 1
    x, w = np.full((1, 3, 6, 6), np.inf, np.float32), np.ones((5, 3, *size), np.float32)
    problem = layers.problem(
        "Conv", [x, w], [(1, 5, 6 // step, 6 // step)],
        {"pads": tuple(taps // 2 for taps in size) * 2, "strides": (step, step)},
        layouts=(layers.blocked,), out=(layers.blocked,), constants=(1,),
    )  # fmt: skip
    (got,) = layers.run(cls, problem, [x, w])
    assert not np.isfinite(got).any()


def test_im2col_of_one_axis_and_odd_groups(layers, bound):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 9, 50)).astype(np.float32)
    w = rng.standard_normal((6, 3, 5)).astype(np.float32)
    judge(
        layers,
        Im2col,
        (x, w, {"group": 3, "strides": (2,), "pads": (1, 3)}),
        bound,
        plain_in=True,
        plain_out=True,
    )


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_automatic_pads(layers, bound, auto_pad):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 20, 14, 17)).astype(np.float32)
    w = rng.standard_normal((24, 20, 4, 3)).astype(np.float32)
    judge(layers, convolutions.Direct, (x, w, {"auto_pad": auto_pad, "strides": (2, 1)}), bound)


def test_windows_that_lie_in_the_pads_altogether(layers, bound):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 20, 2, 2)).astype(np.float32)
    w = rng.standard_normal((24, 20, 2, 2)).astype(np.float32)
    attributes = {"pads": (5, 5, 6, 6)}
    judge(layers, convolutions.Direct, (x, w, attributes), bound)
    judge(layers, Im2col, (x, w, attributes), bound, plain_in=True, plain_out=True)
    deep = rng.standard_normal((20, 1, 2, 2)).astype(np.float32)
    judge(layers, convolutions.Depthwise, (x, deep, {**attributes, "group": 20}), bound)
