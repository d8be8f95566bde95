"""Use from outside: wheels only, an environment of its own, a package in a temporary folder, and no checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]

WHERE = """
import sys
from importlib.metadata import distributions
import orpheus_core, orpheus_numpy, orpheus_conformance
for module in (orpheus_core, orpheus_numpy, orpheus_conformance):
    print(module.__file__)
print(*sys.path, sep="\\n")
for d in distributions():
    if d.name.startswith("orpheus"):
        print(d.name, d.locate_file(""), d.read_text("direct_url.json"))
"""


@pytest.mark.slow
def test_a_package_elsewhere_conforms_with_wheels_alone(fresh_machine: Any, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    fresh_machine.run("pip install orpheus-core orpheus-numpy orpheus-conformance", home)
    (home / "where.py").write_text(WHERE)
    places = fresh_machine.run("python where.py", home)
    assert str(ROOT) not in places
    assert places.count(f"{fresh_machine.folder}/lib") >= 6

    fresh_machine.run("orpheus new-backend outsider", home)
    fresh_machine.run("pip install ./orpheus-outsider", home)
    assert "outsider" in fresh_machine.run("orpheus backends", home)
    conformed = fresh_machine.run("orpheus conform outsider --examples 10", home)
    assert "outsider:Conv/im2col" in conformed
    tested = fresh_machine.run(
        "python -m pytest --pyargs orpheus_conformance --orpheus-backend outsider --orpheus-examples 10 "
        "-p no:cacheprovider",
        home,
    )
    assert " passed" in tested

    # The same package with one wrong function is refused.
    kernels = fresh_machine.run("python -c 'import orpheus_outsider.kernels as k; print(k.__file__)'", home)
    source = Path(kernels.strip())
    text = source.read_text()
    assert "np.maximum(x, 0)" in text
    source.write_text(text.replace("np.maximum(x, 0)", "np.maximum(x, 1)"))
    assert '{"op":"Relu"' in fresh_machine.run("orpheus conform outsider --examples 10", home, code=1)
    fresh_machine.run(
        "python -m pytest --pyargs orpheus_conformance --orpheus-backend outsider", home, code=1
    )
