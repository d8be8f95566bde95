"""Where a trial's model is: a file, checked by its digest, or a network of the zoo, built once and kept."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from orpheus_core.errors import ModelError, UsageError
from orpheus_core.kept import cache_folder
from orpheus_experiments import zoo
from orpheus_experiments.trial.trial import ModelRef

__all__ = ["digest", "files", "locate"]

_CHUNK = 2**20


def locate(ref: ModelRef, batch: int) -> Path:
    """The model's file. A zoo network is built for ``batch`` and kept beside the kept measurements.

    UsageError for a file or name that does not exist, ModelError for another digest.
    """
    if ref.zoo is not None:
        return _kept(ref.zoo, ref.seed, ref.raw, batch)
    path = Path(ref.path or "")
    if not path.is_file():
        raise UsageError(f"there is no model file {path}")
    if ref.sha256 is not None and digest(path) != ref.sha256:
        raise ModelError(
            f"{path} is not the file that the trial means: its SHA-256 is {digest(path)}, not {ref.sha256}"
        )
    return path


def digest(path: Path) -> str:
    """The file's SHA-256."""
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest()


def files(path: Path) -> list[Path]:
    """All files of a model: of ONNX the external data, of ncnn the weights beside the parameters."""
    if path.suffix == ".param":
        return [path, path.with_suffix(".bin")]
    if path.suffix != ".onnx":
        return [path]
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    names = {e.value for t in graph.initializer for e in t.external_data if e.key == "location"}
    return [path, *(path.parent / name for name in sorted(names))]


def _kept(name: str, seed: int, raw: bool, batch: int) -> Path:
    code = hashlib.sha256()
    for file in sorted(Path(zoo.__file__).parent.glob("*.py")):  # another zoo builds other networks
        code.update(file.read_bytes())
    words = [name, f"batch{batch}", f"seed{seed}", *(["raw"] if raw else []), code.hexdigest()[:12]]
    kept = cache_folder() / "zoo" / f"{'-'.join(words)}.onnx"
    if not kept.exists():
        data = zoo.build(name, raw=raw, seed=seed, batch=batch).SerializeToString()
        kept.parent.mkdir(parents=True, exist_ok=True)
        part = kept.with_suffix(f".{os.getpid()}.part")
        part.write_bytes(data)
        part.replace(kept)
    return kept
