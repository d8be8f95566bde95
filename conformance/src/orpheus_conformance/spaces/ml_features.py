"""ai.onnx.ml: features, tables and dictionaries."""

from __future__ import annotations

import math
from typing import Any

from orpheus_conformance.case import Dictionary, Operand
from orpheus_conformance.draw import DIMS, FULL_DIMS, Draw
from orpheus_conformance.space import OMIT, Layer, space
from orpheus_conformance.spaces.text import words
from orpheus_conformance.tolerance import EXACT, MOVEMENT, Ulps
from orpheus_core.types import DType

ML = "ai.onnx.ml"
_LABELS = ("a", "b", "日本", "", "long label")


@space("ArrayFeatureExtractor", MOVEMENT, domain=ML)
def array_feature_extractor(d: Draw) -> Layer:
    """Elements of the last axis, in any order, repeated."""
    shape = d.shape("X", (2, 1, 3), FULL_DIMS)
    wanted = [d.integer(0, shape[-1] - 1) for _ in range(d.choose((2, 1, 5)))]
    return Layer((d.tensor("X", d.dtype("T"), shape), d.data("Y", "int64", wanted)))


@space("Binarizer", EXACT, domain=ML)
def binarizer(d: Draw) -> Layer:
    """Thresholds below, among and above the elements."""
    data = d.tensor("X", d.dtype("T"), d.shape("X", (2, 1, 3, 0)), special=False)
    return Layer((data,), {"threshold": d.attribute("threshold", (OMIT, 0.0, 1.0, -2.0, 0.5))})


@space("CastMap", EXACT, domain=ML)
def cast_map(d: Draw) -> Layer:
    """Maps of numbers and of strings that are numbers, dense and sparse, to each type."""
    sparse = d.attribute("map_form", ("DENSE", "SPARSE", OMIT))
    to = d.attribute("cast_to", ("TO_FLOAT", "TO_INT64", OMIT))
    keys = d.subset((0, 2, 3, 5, 9), 1)
    value = d.among("X.value", ("float32", "string"))
    # Of numbers as strings only whole ones read alike everywhere.
    numbers: dict[str, tuple[Any, ...]] = {"float32": (0.5, -2.0, 3.0, 0.0), "string": ("3", "-2", "0")}
    if to == "TO_INT64":
        numbers["float32"] = (1.0, -2.0, 3.0, 0.0)
    items = tuple((k, d.choose(numbers[value])) for k in keys)
    most = d.choose((max(keys) + 1, 12)) if sparse == "SPARSE" else OMIT
    return Layer((Dictionary("int64", value, items),), {"map_form": sparse, "cast_to": to, "max_map": most})


@space("CategoryMapper", MOVEMENT, domain=ML)
def category_mapper(d: Draw) -> Layer:
    """Strings to integers and back, with ones that are unknown."""
    count = d.choose((2, 1, 4))
    strings, numbers = d.shuffled(_LABELS)[:count], d.shuffled((0, 1, 7, -3, 12))[:count]
    shape = d.shape("X", (1, 2, 0), (*DIMS[:4], 0))
    attributes: dict[str, Any] = {"cats_strings": strings, "cats_int64s": numbers}
    if d.dtype("T1") == "string":
        data = words(d, "X", shape, (*strings, "unknown"))
        attributes["default_int64"] = d.attribute("default_int64", (OMIT, 5))
    else:
        values = tuple(d.choose((*numbers, 99)) for _ in range(math.prod(shape)))
        data = Operand("int64", shape, "normal", values, d.constant("X"))
        attributes["default_string"] = d.attribute("default_string", (OMIT, "other"))
    return Layer((data,), attributes)


@space("DictVectorizer", MOVEMENT, domain=ML)
def dict_vectorizer(d: Draw) -> Layer:
    """Maps that lack some of the vocabulary and have more."""
    key = d.among("X.key", ("string", "int64"))
    values = ("float32", "float64", "int64") if key == "string" else ("float32", "float64")
    value = d.among("X.value", values)
    known: tuple[Any, ...] = ("a", "b", "日本", "d") if key == "string" else (1, 2, 5, -3)
    vocabulary = d.subset(known, 1)
    numbers: tuple[Any, ...] = (3, -2, 0, 7) if value == "int64" else (0.5, -2.0, 0.0, 3.25)
    items = tuple((k, d.choose(numbers)) for k in d.subset(known, 1))
    name = "string_vocabulary" if key == "string" else "int64_vocabulary"
    return Layer((Dictionary(key, value, items),), {name: vocabulary})


@space("FeatureVectorizer", EXACT, domain=ML)
def feature_vectorizer(d: Draw) -> Layer:
    """Matrices side by side."""
    dtype = d.dtype("T1")
    rows = d.choose((2, 1, 3))
    widths = tuple(d.choose((2, 1, 3)) for _ in range(d.choose((2, 1, 3))))
    return Layer(tuple(d.tensor("X", dtype, (rows, n)) for n in widths), {"inputdimensions": widths})


@space("Imputer", MOVEMENT, domain=ML)
def imputer(d: Draw) -> Layer:
    """NaN and numbers replaced, by one value or by one for each feature."""
    dtype = d.dtype("T")
    shape = d.shape("X", (2, 1), FULL_DIMS)
    count = d.choose((1, shape[-1]))
    floats = DType(dtype).is_float
    values = tuple(d.choose((9.0, -7.5, 0.25) if floats else (9, -7, 100)) for _ in range(count))
    data = d.tensor("X", dtype, shape, kind=d.choose((d.kind, "special", "small")) if floats else d.kind)
    if floats:
        replaced = d.attribute("replaced_value_float", (math.nan, 0.0, OMIT, 1.0))
        return Layer((data,), {"imputed_value_floats": values, "replaced_value_float": replaced})
    replaced = d.attribute("replaced_value_int64", (0, OMIT, 2))
    return Layer((data,), {"imputed_value_int64s": values, "replaced_value_int64": replaced})


@space("LabelEncoder", MOVEMENT, domain=ML, since=4)
def label_encoder(d: Draw) -> Layer:
    """Every kind of key to every kind of value, by lists and by tensors; unknown keys and NaN."""
    kinds: dict[str, tuple[Any, ...]] = {
        "string": ("a", "b", "日本", ""), "int64": (0, 7, -3, 2**40), "float32": (0.5, -2.0, 1.0, math.nan),
        "int32": (0, 7, -3, 5), "int16": (0, 7, -3, 5), "float64": (0.5, -2.0, 0.25, 8.0),
    }  # fmt: skip
    names = {"string": "strings", "int64": "int64s", "float32": "floats"}
    key = d.dtype("T1")
    lists = key in names and d.flag()
    value = d.dtype("T2", names) if lists else d.dtype("T2")
    count = d.choose((2, 1, 4))
    keys, values = d.shuffled(kinds[key])[:count], tuple(d.choose(kinds[value][:3]) for _ in range(count))
    attributes: dict[str, Any] = {}
    if lists:
        attributes = {f"keys_{names[key]}": keys, f"values_{names[value]}": values}
        name = {"string": "default_string", "int64": "default_int64", "float32": "default_float"}[value]
        attributes[name] = d.attribute(name, (OMIT, kinds[value][1]))
    else:
        attributes["keys_tensor"] = Operand(key, (count,), "normal", keys, True)
        attributes["values_tensor"] = Operand(value, (count,), "normal", values, True)
        attributes["default_tensor"] = Operand(value, (1,), "normal", (kinds[value][1],), True)
    shape = d.shape("X", (1, 2, 0), (*DIMS[:4], 0))
    data = tuple(d.choose(kinds[key]) for _ in range(math.prod(shape)))
    return Layer((Operand(key, shape, "normal", data, d.constant("X")),), attributes)


@space("Normalizer", Ulps(4.0, "a root of a sum and a quotient, after the sum's own error"), domain=ML)
def normalizer(d: Draw) -> Layer:
    """Rows by each norm, rows of zeros among them."""
    norm = d.attribute("norm", ("MAX", "L1", "L2", OMIT))
    kind = d.choose((d.kind, "small"))
    # The largest element, unlike the sums, may be negative or next to zero: what that means is not said.
    low = 0.5 if norm in ("MAX", OMIT) else None
    shape = (d.choose((2, 1, 3, 5)), d.choose((3, 1, 2, 5)))
    return Layer((d.tensor("X", d.dtype("T"), shape, kind=kind, low=low, special=False),), {"norm": norm})


@space("OneHotEncoder", EXACT, domain=ML)
def one_hot_encoder(d: Draw) -> Layer:
    """Strings and numbers, with unknown ones where they are allowed."""
    zeros = d.attribute("zeros", (1, OMIT, 0))
    dtype = d.dtype("T")
    shape = (d.choose((3, 1, 5)),) if d.flag() else (d.choose((2, 1, 3)), d.choose((1, 2)))
    if dtype == "string":
        known: tuple[Any, ...] = d.subset(("a", "b", "日本", ""), 1)
        options = known if zeros == 0 else (*known, "unknown")
        return Layer((words(d, "X", shape, options),), {"cats_strings": known, "zeros": zeros})
    known = d.subset((0, 1, 7, -3), 1)
    choices = known if zeros == 0 else (*known, 99)
    values = tuple(d.choose(choices) for _ in range(math.prod(shape)))
    values = tuple(map(float, values)) if DType(dtype).is_float else values
    data = Operand(dtype, shape, "normal", values, d.constant("X"))
    return Layer((data,), {"cats_int64s": known, "zeros": zeros})


@space(
    "Scaler",
    Ulps(4.0, "a difference and a product; the difference may cancel", magnitude=lambda e: 64.0),
    domain=ML,
)
def scaler(d: Draw) -> Layer:
    """One scale and offset for all features, or one for each."""
    shape = (d.choose((2, 1, 3)), d.choose((3, 1, 2, 5)))
    attributes = {}
    for name in ("offset", "scale"):
        count = d.choose((1, shape[1]))
        attributes[name] = tuple(d.choose((0.5, 1.0, -2.0, 3.0, 0.25)) for _ in range(count))
    return Layer((d.tensor("X", d.dtype("T"), shape, low=-8.0, high=8.0, special=False),), attributes)


@space("ZipMap", MOVEMENT, domain=ML)
def zip_map(d: Draw) -> Layer:
    """Rows to dictionaries by strings or integers."""
    count = d.choose((2, 1, 4))
    labels: dict[str, Any] = {"classlabels_strings": d.shuffled(_LABELS)[:count]}
    if d.flag():
        labels = {"classlabels_int64s": d.shuffled((0, 1, 7, -3, 12))[:count]}
    rows = d.choose((2, 1, 3, 0))
    return Layer((d.tensor("X", "float32", (rows, count), special=False),), labels)
