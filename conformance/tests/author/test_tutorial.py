"""``docs/write-a-backend.md``, typed in from top to bottom on a machine that has nothing of Orpheus.

How the page is read:

``console``: lines that begin with ``$ `` are commands; a comment ``# ends with N`` names an exit code other than 0.
The lines below a command are its output: each must appear, in this order; a line ``...`` stands for any lines,
``...`` within a line for any text, and runs of blanks are equal.

``python`` and ``toml``: the first line is a comment with the file's path. A TOML block is the whole file. So is a
Python block when there is no such file yet; else every function, class and variable of the block replaces its
namesake or is added at the end.

``LINE`` stands for the replay line that the first failure printed.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).resolve().parents[3] / "docs" / "write-a-backend.md"

_BLOCK = re.compile(r"^```(console|python|toml)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"\s+# ends with (\d+)$")
_CASE = re.compile(r"""\{"op":.*\}""")


@dataclass(frozen=True)
class Command:
    """A line to type, its exit code, and the lines it must print."""

    text: str
    code: int
    output: tuple[str, ...]


@dataclass(frozen=True)
class File:
    """A block that changes a file."""

    path: str
    text: str


def steps(page: str) -> Iterator[Command | File]:
    """What a reader does, in order."""
    for language, body in _BLOCK.findall(page):
        if language == "console":
            yield from _commands(body)
        else:
            first, _, rest = body.partition("\n")
            yield File(first.removeprefix("# "), rest)


def _commands(body: str) -> Iterator[Command]:
    for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        line, *output = part.splitlines()
        code = _CODE.search(line)
        yield Command(_CODE.sub("", line), int(code[1]) if code else 0, tuple(output))


def missing(wanted: tuple[str, ...], printed: str) -> str | None:
    """The first wanted line that was not printed after those before it, or None."""
    lines = iter([" ".join(line.split()) for line in printed.splitlines()])
    for line in wanted:
        if line == "...":
            continue
        pattern = ".*".join(re.escape(" ".join(part.split())) for part in line.split("..."))
        if not any(re.match(pattern, candidate) for candidate in lines):
            return line
    return None


def replay_line(printed: str) -> str | None:
    """The first case that was printed, if there was one."""
    found = _CASE.search(printed)
    return found[0] if found else None


def edited(before: str, block: str) -> str:
    """A Python file with the definitions of a block put in."""
    text = before
    lines = block.splitlines()
    for node in ast.parse(block).body:
        first = min(n.lineno for n in (node, *getattr(node, "decorator_list", ())))
        definition = "\n".join(lines[first - 1 : node.end_lineno])
        old = next((n for n in ast.parse(text).body if _name(n) == _name(node)), None)
        if old is None:
            text = f"{text.rstrip()}\n\n\n{definition}\n"
        else:
            start = min(n.lineno for n in (old, *getattr(old, "decorator_list", ())))
            kept = text.splitlines()
            text = "\n".join([*kept[: start - 1], definition, *kept[old.end_lineno :]]) + "\n"
    return text


def _name(node: ast.stmt) -> str | None:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return node.name
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    return None


@pytest.mark.slow
def test_every_step_of_the_tutorial(fresh_machine: Any, tmp_path: Path) -> None:
    here = tmp_path / "home"
    here.mkdir()
    line = ""
    done = []
    for step in steps(PAGE.read_text(encoding="utf-8")):
        if isinstance(step, File):
            path, text = here / step.path, step.text.replace("LINE", line)
            fresh = path.suffix != ".py" or not path.exists()
            path.write_text(text if fresh else edited(path.read_text(), text))
            continue
        if step.text.startswith("cd "):
            here = here / step.text.removeprefix("cd ")
            assert here.is_dir()
            continue
        command = step.text.replace("LINE", line)
        assert line or "LINE" not in step.text, "no replay line was printed before it is needed"
        printed = fresh_machine.run(command, here, code=step.code)
        absent = missing(step.output, printed)
        assert absent is None, f"$ {command}\n{printed}\ndoes not show {absent!r}"
        if step.code == 1 and not line:
            line = replay_line(printed) or ""
        done.append(step.text)
    for verb in ("pip install", "orpheus new-backend", "orpheus conform", "orpheus conform replay"):
        assert any(command.startswith(verb) for command in done), verb


def test_reading_a_page() -> None:
    page = "a\n```console\n$ one  # a comment\nout\n...\n$ two      # ends with 3\n```\n```toml\n# f\na = 1\n```\n"
    assert list(steps(page)) == [
        Command("one  # a comment", 0, ("out", "...")),
        Command("two", 3, ()),
        File("f", "a = 1\n"),
    ]


def test_output_is_checked_in_order() -> None:
    printed = "a   table of 3\nnext line\nlast 12.5 ms\n"
    assert missing(("a table", "...", "last ... ms"), printed) is None
    assert missing(("last", "a table"), printed) == "a table"
    assert missing(("absent",), printed) == "absent"


def test_definitions_are_replaced_or_added() -> None:
    before = '"""Doc."""\n\nA = 1\n\n\n@d\ndef f():\n    return 1\n\n\nB = 2\n'
    after = edited(before, "@d\n@e\ndef f():\n    return 2\n\n\nC = 3\n")
    assert after == '"""Doc."""\n\nA = 1\n\n\n@d\n@e\ndef f():\n    return 2\n\n\nB = 2\n\n\nC = 3\n'
