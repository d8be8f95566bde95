"""Tables and dictionaries of ai.onnx.ml. Sources: the operators' pages in ONNX's Operators-ml.md."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from orpheus_conformance.case import Case, Operand
from orpheus_conformance.formulas import formula
from orpheus_conformance.instance import Instance
from orpheus_core.types import Array, DType

_ML = "ai.onnx.ml"


def _given(instance: Instance) -> Any:
    return instance.node.attributes


def _whole(case: Case) -> bool:
    return isinstance(case.inputs[0], Operand) and not DType(case.inputs[0].dtype).is_float


@formula("CastMap", domain=_ML, why="it has no implementation")
def cast_map(instance: Instance) -> tuple[Any, ...]:
    """Values by ascending key in one row; sparse ones at their keys, zeros between."""
    (items,) = instance.arrays
    given = _given(instance)
    dtype = np.float32 if given["cast_to"] == "TO_FLOAT" else np.int64
    if given["map_form"] == "DENSE":
        return (np.array([[float(items[k]) for k in sorted(items)]]).astype(dtype),)
    return (np.array([[float(items.get(n, 0)) for n in range(given["max_map"])]]).astype(dtype),)


@formula("CategoryMapper", domain=_ML, why="it has no implementation")
def category_mapper(instance: Instance) -> tuple[Any, ...]:
    """Strings to integers at the same place of the lists, or back."""
    (data,) = instance.arrays
    given = _given(instance)
    pairs = list(zip(given["cats_strings"], given["cats_int64s"]))
    if data.dtype == object:
        return (_mapped(data, dict(pairs), given["default_int64"], np.int64),)
    return (_mapped(data, {n: s for s, n in pairs}, given["default_string"], object),)


def _mapped(data: Array, table: dict[Any, Any], default: Any, dtype: Any) -> Array:
    found = np.empty(data.shape, dtype)
    for place in np.ndindex(data.shape):
        found[place] = table.get(data[place], default)
    return found


@formula("ZipMap", domain=_ML, why="it has no implementation")
def zip_map(instance: Instance) -> tuple[Any, ...]:
    """A dictionary for each row."""
    given = _given(instance)
    labels = given.get("classlabels_strings") or given["classlabels_int64s"]
    return ([{label: float(v) for label, v in zip(labels, row)} for row in instance.arrays[0]],)


@formula(
    "DictVectorizer",
    domain=_ML,
    why="it gives a vector; models are written for the row that ONNX Runtime gives",
)
def dict_vectorizer(instance: Instance) -> tuple[Any, ...]:
    """Values in the vocabulary's order, zeros for what is missing, as a row [1, C]."""
    (items,) = instance.arrays
    given = _given(instance)
    words = given.get("string_vocabulary") or given["int64_vocabulary"]
    operand: Any = instance.case.inputs[0]
    return (np.array([[items.get(word, 0) for word in words]], DType(operand.value).numpy),)


@formula("Imputer", domain=_ML, when=_whole, why="it fails unless the values for floats are given too")
def imputer(instance: Instance) -> tuple[Any, ...]:
    """Whole numbers that equal the replaced one become the imputed one of their column, or the only one."""
    (data,) = instance.arrays
    given = _given(instance)
    values = given["imputed_value_int64s"]
    result = data.copy()
    for place in np.ndindex(data.shape):
        if data[place] == given["replaced_value_int64"]:
            result[place] = values[place[-1] if len(values) > 1 else 0]
    return (result,)


def _has_nan_key(case: Case) -> bool:
    keys: Any = case.attributes.get("keys_tensor")
    found = case.attributes.get("keys_floats", ()) if keys is None else keys.data
    return any(isinstance(k, float) and math.isnan(k) for k in found)


@formula("LabelEncoder", domain=_ML, when=_has_nan_key, why="it does not find NaN among the keys")
def label_encoder(instance: Instance) -> tuple[Any, ...]:
    """NaN is a key like others."""
    (data,) = instance.arrays
    given = _given(instance)
    if "keys_tensor" in given:
        keys, values, default = (
            given["keys_tensor"],
            given["values_tensor"],
            given["default_tensor"].reshape(-1)[0],
        )
    else:
        kinds: dict[str, Any] = {"string": object, "int64": np.int64, "float": np.float32}
        kind = next(k for k in kinds if f"values_{k}s" in given)
        keys, default = given["keys_floats"], given[f"default_{kind}"]
        values = np.array(given[f"values_{kind}s"], kinds[kind])
    table = {str(k): v for k, v in zip(keys, values)}
    found = np.empty(data.shape, values.dtype)
    for place in np.ndindex(data.shape):
        found[place] = table.get(str(data[place]), default)
    return (found,)


@formula(
    "Scaler",
    domain=_ML,
    when=_whole,
    why="it makes whole numbers of offset and scale where the input has such",
)
def scaler(instance: Instance) -> tuple[Any, ...]:
    """(x - offset) * scale."""
    given = _given(instance)
    return ((instance.arrays[0].astype(np.float64) - np.array(given["offset"])) * np.array(given["scale"]),)
