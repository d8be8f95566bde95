"""Tables, argument texts and made-up inputs."""

from __future__ import annotations

import argparse

import numpy as np
import pytest

from orpheus_core import InputError, UsageError, discovery
from orpheus_core.cli.comparison import parse_variant
from orpheus_core.cli.exits import Exit, code_for
from orpheus_core.cli.feeds import make_feeds
from orpheus_core.cli.options import names, pairs, positive, seconds, shapes, share, whole
from orpheus_core.cli.table import big, quantity, size, table, width
from orpheus_core.cli.trial import InputFact
from orpheus_core.errors import BackendError, KernelError, LimitError, UnsupportedModelError
from orpheus_core.plugin import Backend
from orpheus_core.types import DType


def test_table_aligns_numbers_right_and_text_left() -> None:
    text = table(("name", "count", "note"), [("a", 5, "x"), ("long", 1234.5, ""), ("b", "-", "y\nz")])
    assert text == "name   count  note\na          5  x\nlong  1234.5\nb          -  y z"


def test_table_measures_what_a_terminal_shows() -> None:
    assert width("層") == 2 and width("e\u0301") == 1
    first, second, third = table(("op", "n"), [("畳み込み", 1), ("Relu", 22)]).splitlines()
    assert width(first) == width(second) == width(third)


def test_table_without_rows_is_its_header() -> None:
    assert table(("a", "b"), []) == "a  b"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0, "0.000"),
        (12.3456, "12.35"),
        (0.00123456, "0.001235"),
        (123456.7, "123457"),
        (999.96, "1000.0"),
    ],
)
def test_quantity(value: float | None, text: str) -> None:
    assert quantity(value) == text


def test_large_figures() -> None:
    assert [big(None), big(999), big(11_689_512), big(1.814e9)] == ["-", "999", "11.69 M", "1.814 G"]
    assert [size(None), size(100), size(1536), size(46.8e6)] == ["-", "100 B", "1.5 KiB", "44.6 MiB"]


def test_shapes() -> None:
    assert shapes(["x:[1,3, 224,224]", "a:b:[2]", "s:[]"]) == {"x": (1, 3, 224, 224), "a:b": (2,), "s": ()}


@pytest.mark.parametrize("text", ["x", "x:1,3", "x:[1,-3]", "x:[1,N]", ":[1]", "x:[1,]", "x:[1x3]"])
def test_other_shapes_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="must look like"):
        shapes([text])


def test_lists_and_pairs() -> None:
    assert names(None) is None
    assert names("numpy, openmp") == ["numpy", "openmp"]
    assert pairs(["x=a=b.npy"], "-i") == {"x": "a=b.npy"}
    assert pairs(["a=b=numpy:Conv/direct"], "--pin") == {"a=b": "numpy:Conv/direct"}


@pytest.mark.parametrize("text", ["", "a,", "a,,b", "a,a"])
def test_bad_lists_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        names(text)


@pytest.mark.parametrize("texts", [["x"], ["=f.npy"], ["x="], ["x=a", "x=b"]])
def test_bad_pairs_are_refused(texts: list[str]) -> None:
    with pytest.raises(UsageError):
        pairs(texts, "-i")


def test_numbers() -> None:
    assert positive("3") == 3 and seconds("0.5") == 0.5
    for text in ("0", "-1"):
        with pytest.raises(argparse.ArgumentTypeError):
            positive(text)
    for text in ("-1", "inf", "nan"):
        with pytest.raises(argparse.ArgumentTypeError):
            seconds(text)
    assert whole("0") == 0 and share("0.1") == 0.1
    for parse, text in ((whole, "-1"), (share, "-1"), (share, "nan")):
        with pytest.raises(argparse.ArgumentTypeError):
            parse(text)


def test_variants() -> None:
    assert parse_variant("numpy").pins == {}
    both = parse_variant("numpy:Conv/direct+com.microsoft:QLinearAdd/plain")
    assert both.backend == "numpy"
    assert both.pins == {
        "Conv": "numpy:Conv/direct",
        "com.microsoft:QLinearAdd": "numpy:com.microsoft:QLinearAdd/plain",
    }


def test_a_variant_of_a_backend_whose_name_has_a_colon() -> None:
    toy = Backend(name="lib:fast", api=1, kernels=())
    with discovery.override(toy):
        assert parse_variant("lib:fast").backend == "lib:fast"
        assert parse_variant("lib:fast:Conv/direct").pins == {"Conv": "lib:fast:Conv/direct"}


@pytest.mark.parametrize(
    "spec", [":Conv/direct", "numpy:", "numpy:Conv", "numpy:Conv/", "numpy:Conv/a+Conv/b"]
)
def test_bad_variants_are_refused(spec: str) -> None:
    with pytest.raises(UsageError):
        parse_variant(spec)


@pytest.mark.parametrize("dtype", [d for d in DType if d is not DType.STRING], ids=str)
def test_random_feeds_have_the_type_and_shape(dtype: DType) -> None:
    word = {"float32": "float", "float64": "double"}.get(dtype.value, dtype.value.replace("_", ""))
    fact = InputFact("x", f"tensor({word})", ("N", 40))
    feeds = make_feeds([fact], {}, {}, seed=3)
    assert feeds["x"].dtype == dtype.numpy and feeds["x"].shape == (1, 40)
    assert len(np.unique(feeds["x"].astype(np.complex128))) > 1
    again = make_feeds([fact], {}, {}, seed=3)["x"]
    assert again.tobytes() == feeds["x"].tobytes()
    assert make_feeds([fact], {}, {"x": (7, 40)}, seed=4)["x"].shape == (7, 40)


def test_feeds_from_files(tmp_path) -> None:
    wanted = np.arange(6.0).reshape(2, 3)
    np.save(tmp_path / "x.npy", wanted)
    fact = InputFact("x", "tensor(double)", (2, 3))
    np.testing.assert_array_equal(make_feeds([fact], {"x": str(tmp_path / "x.npy")}, {}, 0)["x"], wanted)
    with pytest.raises(InputError, match=r"'x'.*nowhere\.npy"):
        make_feeds([fact], {"x": "nowhere.npy"}, {}, 0)


def test_feeds_that_cannot_be_made_are_refused() -> None:
    open_shape = InputFact("x", "tensor(float)", ("N", 3, "H", None))
    with pytest.raises(UsageError, match=r"'x' has the open shape \[N,3,H,\?\]; give --shape"):
        make_feeds([open_shape], {}, {}, 0)
    with pytest.raises(UsageError, match=r"no input 'y'; it has x"):
        make_feeds([open_shape], {}, {"y": (1,)}, 0)
    for type_ in ("seq(tensor(float))", "tensor(string)"):
        with pytest.raises(UsageError, match="'x'"):
            make_feeds([InputFact("x", type_, ())], {}, {}, 0)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x"), 2), (InputError("x"), 2), (BackendError("x"), 2), (FileNotFoundError("x"), 2),
        (LimitError("x"), 3), (UnsupportedModelError("x"), 3), (KernelError("x"), 4), (ZeroDivisionError(), 70),
    ],
    ids=str,
)  # fmt: skip
def test_exit_codes_follow_from_the_error(error: Exception, code: int) -> None:
    assert code_for(error) == Exit(code) == code
