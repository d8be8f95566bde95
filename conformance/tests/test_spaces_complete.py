"""Every operator has a problem space, or a named reason why not."""

from __future__ import annotations

from onnx import defs
from orpheus_conformance.formulas import formulas
from orpheus_conformance.oracle import FAULTS
from orpheus_conformance.space import spaces

from orpheus_core.ops import find_spec
from orpheus_core.ops.contrib import SPECS as CONTRIB
from orpheus_core.ops.fused import SPECS as FUSED

#: (domain, operator) -> why no layer of it can be judged.
REASONS = {
    (
        "ai.onnx.preview.training",
        "Gradient",
    ): "differentiates a whole graph by the names of its values: no layer",
}


def operators() -> set[tuple[str, str]]:
    """Everything in the OpSpec table whose newest form is not deprecated."""
    newest: dict[tuple[str, str], defs.OpSchema] = {}
    for schema in defs.get_all_schemas_with_history():
        key = (schema.domain, schema.name)
        if key not in newest or schema.since_version > newest[key].since_version:
            newest[key] = schema
    current = {key for key, schema in newest.items() if not schema.deprecated}
    return current | {(spec.domain, spec.name) for spec in (*FUSED, *CONTRIB)}


def test_the_table_is_read_whole():
    found = operators()
    assert len(found) > 250
    assert {
        ("", "Conv"),
        ("ai.onnx.ml", "TreeEnsemble"),
        ("com.microsoft", "QGemm"),
        ("ai.orpheus", "FusedConv"),
    } <= found


def test_every_operator_has_a_space_or_a_reason():
    missing = operators() - set(spaces()) - set(REASONS)
    assert not missing, f"operators without a problem space: {sorted(missing)}"


def test_no_reason_has_outlived_its_need():
    assert not set(REASONS) & set(spaces())
    assert set(REASONS) <= operators()


def test_every_space_is_of_an_operator():
    for domain, op in spaces():
        assert any(find_spec(domain, op, opset) for opset in range(1, 40)), f"{domain}:{op} does not exist"


def test_every_exception_of_the_oracle_is_of_an_operator_and_explained():
    for domain, op in {*FAULTS, *formulas()}:
        assert (domain, op) in spaces(), f"{domain}:{op}"
    reasons = [f.why for known in formulas().values() for f in known]
    reasons += [why for known in FAULTS.values() for _, why in known]
    assert all(len(why) > 10 for why in reasons)
