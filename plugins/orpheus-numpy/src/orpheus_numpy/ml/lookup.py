"""CastMap, CategoryMapper, DictVectorizer, LabelEncoder, ZipMap: tables, dictionaries and labels."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from orpheus_core.plugin import Problem
from orpheus_core.types import Array, MapType, TensorType
from orpheus_numpy.ml.post import labels_of


def cast_map(
    data: Mapping[int, Any], *, cast_to: str = "TO_FLOAT", map_form: str = "DENSE", max_map: int = 1
) -> Array:
    """ai.onnx.ml CastMap: a map's values by ascending key, shape (1, n); SPARSE puts them at their keys.

    Numbers become strings with six decimals. Raises ValueError for a sparse key that is not below ``max_map``.
    """
    targets = {"TO_FLOAT": np.float32, "TO_INT64": np.int64, "TO_STRING": object}
    if cast_to not in targets or map_form not in ("DENSE", "SPARSE"):
        raise ValueError(f"CastMap: cast_to {cast_to!r} or map_form {map_form!r} is not known")
    to_int, to_text = cast_to == "TO_INT64", cast_to == "TO_STRING"

    def cast(value: Any) -> Any:
        if to_text:
            return value if isinstance(value, str) else f"{value:f}"
        return int(float(value)) if to_int and not isinstance(value, int) else value

    keys = sorted(data)
    if map_form == "DENSE":
        return np.array([[cast(data[k]) for k in keys]], targets[cast_to])
    if keys and not 0 <= keys[0] <= keys[-1] < max_map:
        raise ValueError(f"CastMap: keys {keys} are outside [0, {max_map - 1}]")
    result = np.full((1, max_map), "0" if to_text else 0, targets[cast_to])
    for key in keys:
        result[0, key] = cast(data[key])
    return result


def category_mapper(
    data: Array,
    *,
    cats_int64s: Sequence[int] = (),
    cats_strings: Sequence[str] = (),
    default_int64: int = -1,
    default_string: str = "_Unused",
) -> Array:
    """ai.onnx.ml CategoryMapper: strings to their integers, or integers to their strings; else the default."""
    if len(cats_int64s) != len(cats_strings):
        raise ValueError(f"CategoryMapper: {len(cats_int64s)} integers for {len(cats_strings)} strings")
    if data.dtype == object:
        return _look_up(data, cats_strings, cats_int64s, default_int64, np.dtype(np.int64))
    return _look_up(data, cats_int64s, cats_strings, default_string, np.dtype(object))


def dict_vectorizer(
    data: Mapping[Hashable, Any],
    *,
    string_vocabulary: Sequence[str] | None = None,
    int64_vocabulary: Sequence[int] | None = None,
    problem: Problem | None = None,
) -> Array:
    """ai.onnx.ml DictVectorizer: the map's values in the vocabulary's order, shape (1, size); 0 for absent keys.

    The element type is that of the problem's map; without one it is told by the values.
    """
    vocabulary: Sequence[Hashable] = string_vocabulary or int64_vocabulary or ()
    sample = next(iter(data.values()), 0.0)
    if isinstance(sample, str):
        return np.array([[data.get(key, "") for key in vocabulary]], dtype=object)
    dtype = getattr(sample, "dtype", np.dtype(np.int64 if isinstance(sample, int) else np.float32))
    declared = problem.inputs[0] if problem is not None else None
    if isinstance(declared, MapType) and isinstance(declared.value, TensorType):
        dtype = declared.value.dtype.numpy
    return np.array([[data.get(key, 0) for key in vocabulary]], dtype)


def label_encoder(
    data: Array,
    *,
    keys_tensor: Array | None = None,
    keys_strings: Sequence[str] | None = None,
    keys_int64s: Sequence[int] | None = None,
    keys_floats: Sequence[float] | None = None,
    values_tensor: Array | None = None,
    values_strings: Sequence[str] | None = None,
    values_int64s: Sequence[int] | None = None,
    values_floats: Sequence[float] | None = None,
    default_tensor: Array | None = None,
    default_string: str = "_Unused",
    default_int64: int = -1,
    default_float: float = -0.0,
    classes_strings: Sequence[str] | None = None,
) -> Array:
    """ai.onnx.ml LabelEncoder: each element's value by its key, or the default.

    Of equal keys the last counts; NaN is a key like others. ``classes_strings`` is the form of version 1: strings
    to their place in the list, or places to strings.
    """
    if classes_strings is not None:
        places = range(len(classes_strings))
        if data.dtype == object:
            return _look_up(data, classes_strings, places, default_int64, np.dtype(np.int64))
        return _look_up(data, places, classes_strings, default_string, np.dtype(object))
    keys = next((k for k in (keys_tensor, keys_strings, keys_int64s, keys_floats) if k is not None), None)
    values: Any
    if values_tensor is not None:
        values, dtype = values_tensor, values_tensor.dtype
    elif values_strings is not None:
        values, dtype = values_strings, np.dtype(object)
    elif values_int64s is not None:
        values, dtype = values_int64s, np.dtype(np.int64)
    else:
        values, dtype = values_floats or (), np.dtype(np.float32)
    if keys is None or len(keys) != len(values):
        raise ValueError("LabelEncoder: needs keys and values, as many of one as of the other")
    default: Any = (
        default_string if dtype.kind == "O" else default_int64 if dtype.kind in "iu" else default_float
    )
    if default_tensor is not None:
        default = default_tensor.reshape(-1)[0]
    plain = [v.tolist() if isinstance(v, np.ndarray) else v for v in (keys, values)]
    if data.dtype.kind == "f":
        # A key must be rounded as the input is: 0.1 as float32 is not 0.1.
        plain[0] = np.array(plain[0]).astype(data.dtype).tolist()
    return _look_up(data, plain[0], plain[1], default, dtype)


def _look_up(
    data: Array, keys: Sequence[Any], values: Sequence[Any], default: Any, dtype: np.dtype[Any]
) -> Array:
    table = {_same(key): value for key, value in zip(keys, values)}
    found = np.empty(data.size, dtype)
    for i, element in enumerate(data.reshape(-1).tolist()):
        found[i] = table.get(_same(element), default)
    return found.reshape(data.shape)


_NAN = object()


def _same(key: Any) -> Any:
    """The key itself, or one object for every NaN, which does not equal itself."""
    return _NAN if isinstance(key, float) and math.isnan(key) else key


def zip_map(
    data: Array,
    *,
    classlabels_int64s: Sequence[int] | None = None,
    classlabels_strings: Sequence[str] | None = None,
) -> list[dict[Any, float]]:
    """ai.onnx.ml ZipMap: for each row of [N, C] (or one row [C]) a dictionary from class label to value."""
    labels = labels_of(classlabels_int64s, classlabels_strings, "ZipMap").tolist()
    rows = data.reshape(1, -1) if data.ndim == 1 else data
    if rows.ndim != 2 or rows.shape[1] != len(labels):
        raise ValueError(f"ZipMap: {len(labels)} labels for data of shape {data.shape}")
    return [dict(zip(labels, row)) for row in rows.tolist()]
