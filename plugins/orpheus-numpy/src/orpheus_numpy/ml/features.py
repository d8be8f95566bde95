"""ArrayFeatureExtractor, Binarizer, FeatureVectorizer, Imputer, Normalizer, OneHotEncoder, Scaler."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from orpheus_core.types import Array


def array_feature_extractor(data: Array, indices: Array) -> Array:
    """ai.onnx.ml ArrayFeatureExtractor: elements of the last axis at ``indices``; a 1-D input gives one row."""
    chosen = indices.reshape(-1)
    if data.ndim == 0:
        raise ValueError("ArrayFeatureExtractor: needs at least one axis")
    if chosen.size and not 0 <= chosen.min() <= chosen.max() < data.shape[-1]:
        raise ValueError(
            f"ArrayFeatureExtractor: indices {chosen.tolist()} are outside [0, {data.shape[-1] - 1}]"
        )
    found = data[..., chosen.astype(np.int64)]
    return found[None] if data.ndim == 1 else found


def binarizer(data: Array, *, threshold: float = 0.0) -> Array:
    """ai.onnx.ml Binarizer: 1 above the threshold, else 0, in the input's type."""
    return (data > threshold).astype(data.dtype)


def feature_vectorizer(*inputs: Array, inputdimensions: Sequence[int] | None = None) -> Array:
    """ai.onnx.ml FeatureVectorizer: the inputs side by side as float32 columns, (N, sum of ``inputdimensions``).

    1-D inputs are one row. An input with fewer columns than declared is filled up with zeros, with more it is cut.
    """
    rows = [x.reshape(1, -1) if x.ndim < 2 else x.reshape(x.shape[0], math.prod(x.shape[1:])) for x in inputs]
    widths = [x.shape[1] for x in rows] if inputdimensions is None else list(inputdimensions)
    if len(widths) != len(rows) or any(w < 0 for w in widths) or len({len(x) for x in rows}) != 1:
        raise ValueError(
            f"FeatureVectorizer: widths {widths} for inputs of shapes {[x.shape for x in inputs]}"
        )
    result = np.zeros((len(rows[0]), sum(widths)), np.float32)
    start = 0
    for x, width in zip(rows, widths):
        used = min(width, x.shape[1])
        result[:, start : start + used] = x[:, :used]
        start += width
    return result


def imputer(
    data: Array,
    *,
    imputed_value_floats: Sequence[float] | None = None,
    imputed_value_int64s: Sequence[int] | None = None,
    replaced_value_float: float = 0.0,
    replaced_value_int64: int = 0,
) -> Array:
    """ai.onnx.ml Imputer: elements equal to the replaced value (NaN included) become the imputed value.

    There is one imputed value, or one for each element of the last axis.
    """
    is_float = data.dtype.kind == "f"
    values = imputed_value_floats if is_float else imputed_value_int64s
    if not values or len(values) not in (1, data.shape[-1] if data.ndim else 1):
        raise ValueError(
            f"Imputer: {len(values or ())} imputed values for shape {data.shape} of {data.dtype}"
        )
    if is_float and math.isnan(replaced_value_float):
        missing = np.isnan(data)
    else:
        missing = data == np.asarray(replaced_value_float if is_float else replaced_value_int64).astype(
            data.dtype
        )
    return np.where(missing, np.array(values).astype(data.dtype), data)


def normalizer(data: Array, *, norm: str = "MAX") -> Array:
    """ai.onnx.ml Normalizer: rows of [N, C] (or one row [C]) divided by their maximum, L1 or L2 norm; float32.

    A row whose divisor is 0 stays as it is.
    """
    values = data.astype(np.float64)
    if norm == "MAX":
        divisor = values.max(axis=-1, keepdims=True, initial=-np.inf)
    elif norm == "L1":
        divisor = np.abs(values).sum(axis=-1, keepdims=True)
    elif norm == "L2":
        divisor = np.sqrt((values * values).sum(axis=-1, keepdims=True))
    else:
        raise ValueError(f"Normalizer: norm {norm!r} is not one of MAX, L1, L2")
    return (values / np.where(divisor == 0, 1, divisor)).astype(np.float32)


def one_hot_encoder(
    data: Array,
    *,
    cats_int64s: Sequence[int] | None = None,
    cats_strings: Sequence[str] | None = None,
    zeros: int = 1,
) -> Array:
    """ai.onnx.ml OneHotEncoder: a new last axis with 1 at the element's category, float32.

    Numbers are truncated to integers. An unknown category gives zeros, or ValueError when ``zeros`` is 0.
    """
    if data.dtype == object:
        found = data[..., None] == np.array(cats_strings or (), dtype=object)
    else:
        found = data.astype(np.int64)[..., None] == np.array(cats_int64s or (), np.int64)
    found = np.asarray(found, bool)
    if not zeros and not found.any(axis=-1).all():
        unknown = data[~found.any(axis=-1)].reshape(-1)[0]
        raise ValueError(
            f"OneHotEncoder: category {unknown!r} is not among those of the node, and zeros is 0"
        )
    return found.astype(np.float32)


def scaler(data: Array, *, scale: Sequence[float] = (1.0,), offset: Sequence[float] = (0.0,)) -> Array:
    """ai.onnx.ml Scaler: ``(data - offset) * scale``, one pair for all features or one for each; float32."""
    width = data.shape[-1] if data.ndim else 1
    if len(scale) not in (1, width) or len(offset) not in (1, width):
        raise ValueError(f"Scaler: {len(scale)} scales and {len(offset)} offsets for {width} features")
    wide = data.astype(np.float64 if data.dtype.itemsize == 8 else np.float32)
    return ((wide - np.array(offset, wide.dtype)) * np.array(scale, wide.dtype)).astype(np.float32)
