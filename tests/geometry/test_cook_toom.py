"""Winograd's transforms: a tile's products give the correlation, and the generated statements are the matrices."""

from __future__ import annotations

import re

import numpy as np
import pytest

from orpheus_core.geometry.cook_toom import FORMS, Form, Transform

TRANSFORMS = {(t.out, t.taps): t for form in FORMS.values() for t in (form.rows, form.cols)}


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=lambda t: f"F({t.out},{t.taps})")
def test_products_of_transforms_are_the_correlation(transform: Transform) -> None:
    rng = np.random.default_rng(0)
    d, g = rng.standard_normal(transform.size), rng.standard_normal(transform.taps)
    got = transform.outputs @ ((transform.weights @ g) * (transform.inputs @ d))
    # Float64's unit, by how much the matrices enlarge it.
    grown = np.abs(transform.outputs) @ (
        np.abs(transform.weights) @ np.abs(g) * (np.abs(transform.inputs) @ np.abs(d))
    )
    np.testing.assert_array_less(np.abs(got - np.correlate(d, g)), 16 * np.finfo(float).eps * grown)


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=lambda t: f"F({t.out},{t.taps})")
@pytest.mark.parametrize("way", ["inputs", "outputs"])
def test_statements_are_the_matrices(transform: Transform, way: str) -> None:
    lines = transform.input_lines() if way == "inputs" else transform.output_lines()
    matrix = getattr(transform, way)
    text = " ".join(lines).replace("const vec ", "").replace("(vec)", "").replace(";", "\n")
    text = re.sub(r"(\d)f\b", r"\1", text)
    text = re.sub(r", (t\d+ =)", r"\n\1", text)
    source = "\n".join(line.strip() for line in text.splitlines())
    for column in range(matrix.shape[1]):
        scope = {
            "d": np.eye(matrix.shape[1])[column],
            "o": np.zeros(len(matrix)),
            "fma": lambda a, b, c: a * b + c,
        }
        exec(source, scope)
        np.testing.assert_allclose(scope["o"], matrix[:, column], rtol=0, atol=1e-6 * np.abs(matrix).max())


def test_weights_of_two_axes_are_transformed_by_both() -> None:
    form: Form = FORMS["winograd4_1x7"]
    w = np.random.default_rng(0).standard_normal((3, 2, *form.kernel)).astype(np.float32)
    got = form.weights(w)
    assert got.shape == (form.elements, 3, 2)
    wanted = np.einsum("ij,mcj->imc", form.cols.weights, w[:, :, 0].astype(np.float64))
    np.testing.assert_allclose(got, wanted, rtol=1e-6)
