"""Judging some operators of the reference only: whole graphs take the rest from the rest of it."""

from __future__ import annotations

from typing import Any

from orpheus_core.cli.main import main


def test_networks_of_one_operator_of_the_reference_run(capsys: Any) -> None:
    assert main(["conform", "numpy", "--op", "Conv", "--tier", "plan", "--examples", "2"]) == 0
    assert "numpy:zoo/wrn-40-2" in capsys.readouterr().out
