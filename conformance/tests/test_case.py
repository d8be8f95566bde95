from __future__ import annotations

import math

import pytest
from orpheus_conformance.case import Body, Case, CaseError, Dictionary, Literal, Operand, Sequence

FULL = Case(
    "Foo", 3,
    (Operand("float32", (2, 0), "small", constant=True), None, Sequence("int64", (Operand("int64", ()),)),
     Dictionary("int64", "string", ((1, "a"),))),
    {"a": 1, "b": (1.5, math.inf), "c": b"\xff", "body": Body("inc", (2,)), "t": Operand("int8", (1,), data=(3,)),
     "type": Literal("tensor float32")},
    domain="x.y", outputs=(True, False), seed=7, tier="special", kernel="k:Foo/a", inputs_layout=("NHWC",),
    threads=2, variant={"gap": True, "inplace": (0, 1)},
)  # fmt: skip


def test_a_line_and_back():
    line = FULL.line()
    assert "\n" not in line
    assert Case.parse(line) == FULL


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "not JSON"),
        ("[]", "expected a JSON object"),
        ('{"op":"Relu"}', "missing"),
        ('{"op":"Relu","version":1,"inputs":[],"colour":1}', "no field colour"),
        ('{"op":"Relu","version":"1","inputs":[]}', "version cannot be '1'"),
        ('{"op":"Relu","version":1,"inputs":[3]}', "input 0 is 3"),
        ('{"op":"Relu","version":1,"inputs":[{"$operand":{"dtype":"float32","shape":[-1]}}]}', "has shape"),
        ('{"op":"Relu","version":1,"inputs":[{"$strange":1}]}', "cannot read $strange"),
        ('{"op":"Relu","version":1,"inputs":[],"outputs":[1]}', "true and false"),
    ],
)
def test_a_bad_line_says_what_is_wrong(line, says):
    with pytest.raises(CaseError, match="not a case") as caught:
        Case.parse(line)
    assert says in str(caught.value)
