"""A model argument of the command line: a file, or the name of a network of the zoo, which is built and kept."""

from __future__ import annotations

from pathlib import Path

from orpheus_experiments.trial.models import locate
from orpheus_experiments.trial.trial import ModelRef
from orpheus_experiments.zoo.registry import names

__all__ = ["model_file"]


def model_file(text: str) -> str:
    """The path of the model that ``text`` means; a file of that name comes before a network."""
    if text in names() and not Path(text).exists():
        return str(locate(ModelRef(zoo=text), 1))
    return text
