"""How much work an untrusted model may ask for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds on what :func:`orpheus_core.importer.load` accepts; beyond them it raises LimitError.

    ``file_bytes``: size of the protobuf. ``messages``: protobuf messages and strings in it, which take far more memory
    than their bytes (tensors count as four). ``nodes``: nodes after functions are expanded. ``added_nodes`` and
    ``added_bytes``: what the expansion of functions may add to the model. ``depth``: nesting of subgraphs and of
    function calls, taken together. ``functions``: model-local functions. ``rank``: dimensions of a tensor.
    ``value_bytes``: size of any one tensor, computed or stored. ``sparse_bytes``: size of all sparse tensors when
    written out in full. ``allow_links``: accept external data through symbolic or hard links, as long as the file they
    lead to lies inside ``link_root`` (by default the model's folder); Hugging Face caches need this.
    """

    file_bytes: int = 2**31
    messages: int = 500_000
    nodes: int = 1_000_000
    added_nodes: int = 20_000
    added_bytes: int = 16 * 2**20
    depth: int = 32
    functions: int = 10_000
    rank: int = 64
    value_bytes: int = 2**40
    sparse_bytes: int = 64 * 2**20
    allow_links: bool = False
    link_root: str | None = None
