"""ai.onnx.ml against ONNX Runtime, and against the formulas where runtimes differ from the operator pages."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from orpheus_numpy.ml import features, linear, lookup, post, training_ops

from orpheus_core.plugin import Problem
from orpheus_core.types import DType, MapType, TensorType

FEW = settings(max_examples=25, deadline=None)
X = np.array([[1, -2, 3], [-0.5, 0.25, 1], [0.1, 0.3, -2], [0, 0, 0]], np.float32)
FLOATS = hnp.arrays(
    np.float32, st.tuples(st.integers(1, 5), st.just(3)), elements=st.integers(-40, 40).map(lambda v: v / 8)
)


TEXTS = np.array([["a", "b"], ["zz", ""]], dtype=object)
PLAIN = {
    "array features": ("ArrayFeatureExtractor", (X, np.array([[2, 0]])), {}),
    "array features 1-D": ("ArrayFeatureExtractor", (X[0], np.array([1])), {}),
    "binarizer": ("Binarizer", (X,), {"threshold": 0.25}),
    "cast map": ("CastMap", ({3: 1.5, 1: -2.25},), {}),
    "cast map strings": ("CastMap", ({3: 1.5, 1: -2.25},), {"cast_to": "TO_STRING"}),
    "cast map sparse": (
        "CastMap",
        ({3: 1.5, 1: -2.75},),
        {"cast_to": "TO_INT64", "map_form": "SPARSE", "max_map": 5},
    ),
    "category to int": ("CategoryMapper", (TEXTS,), {"cats_strings": ["b", "a"], "cats_int64s": [4, 5]}),
    "category to text": (
        "CategoryMapper",
        (np.array([5, 6]),),
        {"cats_strings": ["b", "a"], "cats_int64s": [4, 5]},
    ),
    "dictionary": ("DictVectorizer", ({"a": 4.0, "c": 8.0},), {"string_vocabulary": ["a", "c", "b"]}),
    "dictionary int": ("DictVectorizer", ({7: 4.0, 9: 8.0},), {"int64_vocabulary": [9, 8, 7]}),
    "feature vectorizer": ("FeatureVectorizer", (X, X[:, :2] + 1), {"inputdimensions": [4, 1]}),
    "imputer": ("Imputer", (X,), {"imputed_value_floats": [7.0, 8.0, 9.0], "replaced_value_float": 0.25}),
    "imputer NaN": (
        "Imputer",
        (np.where(X > 0, np.nan, X).astype(np.float32),),
        {"imputed_value_floats": [7.0], "replaced_value_float": math.nan},
    ),
    "imputer int": (
        "Imputer",
        (np.array([[1, -1, 2]]),),
        {"imputed_value_int64s": [5], "replaced_value_int64": -1},
    ),
    "labels text to int": (
        "LabelEncoder",
        (TEXTS,),
        {"keys_strings": ["a", "b"], "values_int64s": [5, 6], "default_int64": -3},
    ),
    "labels float to text": (
        "LabelEncoder",
        (X,),
        {"keys_floats": [0.1, 3.0], "values_strings": ["tenth", "three"]},
    ),
    "labels int to float": (
        "LabelEncoder",
        (np.array([1, 2]),),
        {"keys_int64s": [2, 3], "values_floats": [0.5, 1.5]},
    ),
    "one hot": ("OneHotEncoder", (X,), {"cats_int64s": [1, -2, 0]}),
    "one hot text": ("OneHotEncoder", (TEXTS,), {"cats_strings": ["b", "zz", "a"]}),
    "scaler": ("Scaler", (X,), {"scale": [2.0, 3.0, 4.0], "offset": [1.0, 2.0, 3.0]}),
    "scaler int": ("Scaler", (X.astype(np.int64),), {"scale": [2.0], "offset": [0.5]}),
    "zip map": ("ZipMap", (X,), {"classlabels_int64s": [1, 2, 3]}),
    "zip map text": ("ZipMap", (X[0],), {"classlabels_strings": ["a", "b", "c"]}),
}


@pytest.mark.parametrize("name", PLAIN)
def test_features_and_tables(ml, name):
    op, inputs, attributes = PLAIN[name]
    ml.agree(op, *inputs, **attributes)


@FEW
@given(FLOATS, st.sampled_from(["MAX", "L1", "L2"]))
def test_normalizer(ml, x, norm):
    ml.agree("Normalizer", x, norm=norm)


def test_label_encoder_of_version_1(ml):
    for data, attributes in (
        (np.array(["a", "b", "z"], object), {"default_int64": -5}),
        (np.array([0, 1, 7]), {"default_string": "none"}),
    ):
        mine = lookup.label_encoder(data, classes_strings=("a", "b"), **attributes)
        (other,) = ml.peer("LabelEncoder", data, version=1, classes_strings=["a", "b"], **attributes)
        assert mine.tolist() == other.tolist()


def test_label_encoder_with_tensors_repeated_keys_and_nan():
    data = np.array([0.1, np.nan, 2.0], np.float32)
    keys = np.array([0.1, np.nan, 0.1], np.float32)
    values = np.array([1, 2, 3], np.int16)
    found = lookup.label_encoder(
        data, keys_tensor=keys, values_tensor=values, default_tensor=np.array([9], np.int16)
    )
    assert found.dtype == np.int16
    assert found.tolist() == [3, 2, 9]
    assert lookup.label_encoder(data, keys_tensor=keys, values_tensor=values).tolist() == [3, 2, -1]


def test_cast_map_of_strings():
    assert lookup.cast_map({2: "1.5", 1: "-3"}).tolist() == [[-3, 1.5]]
    assert lookup.cast_map({2: "15", 1: "-3"}, cast_to="TO_INT64").tolist() == [[-3, 15]]


REFUSED = {
    "index": lambda: features.array_feature_extractor(X, np.array([3])),
    "negative index": lambda: features.array_feature_extractor(X, np.array([-1])),
    "category": lambda: features.one_hot_encoder(X, cats_int64s=(1,), zeros=0),
    "sparse key": lambda: lookup.cast_map({5: 1.0}, map_form="SPARSE", max_map=5),
    "labels": lambda: lookup.zip_map(X, classlabels_int64s=(1, 2)),
    "no labels": lambda: lookup.zip_map(X),
    "norm": lambda: features.normalizer(X, norm="L3"),
    "coefficients": lambda: linear.linear_regressor(X, coefficients=[1.0, 2.0]),
    "imputer": lambda: features.imputer(X, imputed_value_floats=(1.0, 2.0)),
    "transform": lambda: linear.linear_regressor(X, coefficients=[1.0, 2.0, 3.0], post_transform="ODD"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    with pytest.raises(ValueError, match=r"^[A-Z]\w+: "):
        REFUSED[name]()


def test_post_transforms():
    scores = np.array([[0.0, 1.0, -2.0], [900.0, 0.5, 0.25]])
    soft = post.post_transform(scores, "SOFTMAX", "op")
    np.testing.assert_allclose(soft[0], np.exp([0, 1, -2]) / np.exp([0, 1, -2]).sum())
    np.testing.assert_allclose(soft[1], [1, 0, 0], atol=1e-12)
    zero = post.post_transform(scores, "SOFTMAX_ZERO", "op")
    np.testing.assert_allclose(zero[0], [0, *(np.exp([1, -2]) / np.exp([1, -2]).sum())])
    np.testing.assert_allclose(post.post_transform(scores, "LOGISTIC", "op")[0], 1 / (1 + np.exp([0, -1, 2])))
    probit = post.post_transform(np.array([[0.25, 0.0, 1.0, 1.5]]), "PROBIT", "op")[0]
    np.testing.assert_allclose(probit[:3], [NormalDist().inv_cdf(0.25), -np.inf, np.inf])
    assert np.isnan(probit[3])


def tensors(count):
    return [np.random.default_rng(i).uniform(0.5, 1.5, (2, 3)).astype(np.float32) for i in range(count)]


@pytest.mark.parametrize("step", [0, 3])
def test_optimizers_take_each_tensor_by_itself(step):
    """Two tensors at once give what one at a time gives, and one element follows the published formula."""
    rate, t = np.array(0.1, np.float32), np.array(step)
    settings_ = {"norm_coefficient": 0.01}
    momentum = {"alpha": 0.9, "beta": 0.5, "norm_coefficient": 0.01}
    for kernel, kinds, arguments in (
        (training_ops.adagrad, 3, {"decay_factor": 0.1, **settings_}),
        (training_ops.adam, 4, {"norm_coefficient_post": 0.02, **settings_}),
        (training_ops.momentum, 3, {"mode": "standard", **momentum}),
        (training_ops.momentum, 3, {"mode": "nesterov", **momentum}),
    ):
        values = tensors(2 * kinds)
        both = kernel(rate, t, *values, **arguments)
        for i in range(2):
            np.testing.assert_array_equal(both[i::2], kernel(rate, t, *values[i::2], **arguments))
        x, g, *state = (float(v[0, 0]) for v in values[::2])
        g += 0.01 * x
        if kernel is training_ops.adagrad:
            h = state[0] + g * g
            expected = [x - 0.1 / (1 + step * 0.1) * g / (math.sqrt(h) + 1e-6), h]
        elif kernel is training_ops.adam:
            v, h = 0.9 * state[0] + 0.1 * g, 0.999 * state[1] + 0.001 * g * g
            r = 0.1 * math.sqrt(1 - 0.999**step) / (1 - 0.9**step) if step else 0.1
            expected = [0.98 * (x - r * v / (math.sqrt(h) + 1e-6)), v, h]
        else:
            v = 0.9 * state[0] + (0.5 if step else 1) * g
            expected = [x - 0.1 * (v if arguments["mode"] == "standard" else g + 0.9 * v), v]
        np.testing.assert_allclose([r[0, 0] for r in both[::2]], expected, rtol=1e-5)


def test_dict_vectorizer_has_the_type_of_its_map():
    known = MapType(DType.STRING, TensorType(DType.FLOAT64, ()))
    problem = Problem("DictVectorizer", "ai.onnx.ml", 1, {}, (known,), ())
    found = lookup.dict_vectorizer({"a": 0.5}, string_vocabulary=("b", "a"), problem=problem)
    assert (found.dtype, found.tolist()) == (np.float64, [[0.0, 0.5]])


def test_adagrad_keeps_the_rate_of_a_wide_tensor_exact():
    x, gradient, squares = (np.array([v]) for v in (1.0, 2.0, 0.0))
    found, _ = training_ops.adagrad(
        np.float32(0.5).reshape(()), np.array(1), x, gradient, squares, decay_factor=0.25, epsilon=0.0
    )
    np.testing.assert_allclose(found, [1 - 0.4], rtol=1e-15)
