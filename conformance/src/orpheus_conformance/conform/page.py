"""The report as one HTML page that needs nothing else."""

from __future__ import annotations

import platform
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape

from orpheus_conformance.conform.record import matrix
from orpheus_conformance.conform.text import OUTCOMES
from orpheus_conformance.engine import Options, Row, is_green
from orpheus_conformance.expect import Expectation
from orpheus_core.plugin import Backend

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 76em; padding: 0 1em; color: #1b1b1b }
h1 { font-size: 1.5em } h2 { font-size: 1.15em; margin-top: 2em }
table { border-collapse: collapse } .wide { overflow-x: auto }
th, td { border: 1px solid #d4d4d4; padding: .2em .5em; text-align: left; white-space: nowrap }
th { background: #f3f3f3; font-weight: 600 } td.n { text-align: right; font-variant-numeric: tabular-nums }
.passed { background: #d9f2dd } .failed { background: #f8c9c4 } .refused { background: #fdf1c7 }
.expected { background: #e2d8f3 } .inapplicable { background: #efefef } .untested { color: #8a8a8a }
.what { white-space: normal; min-width: 20em }
code { font: 13px/1.4 ui-monospace, monospace; word-break: break-all; white-space: pre-wrap }
li { margin: .7em 0 }
@media (prefers-color-scheme: dark) {
  body { background: #161616; color: #e4e4e4 } th { background: #2a2a2a } th, td { border-color: #444 }
  .passed { background: #1d4426 } .failed { background: #6a221c } .refused { background: #524511 }
  .expected { background: #3c2f57 } .inapplicable { background: #2d2d2d }
}
"""


def html(
    backend: Backend, options: Options, rows: Sequence[Row], expectations: Sequence[Expectation] = ()
) -> str:
    """The page: verdict, operators by element types, kernels by tiers, failures, declared defects."""
    title = f"Conformance of {backend.name}" + (f" {backend.version}" if backend.version else "")
    parts = [
        f"<h1>{escape(title)}</h1>",
        _verdict(options, rows),
        "<h2>Operators and element types</h2>",
        "<p>Cases by the element type of the first tensor. Empty cells are untested.</p>",
        _matrix(matrix(backend, rows)),
        "<h2>Kernels and tiers</h2>",
        "<p>Executed cases; where there are none, the outcome.</p>",
        _tiers(rows),
        _failures(rows),
        _declared(expectations),
        _reasons(rows),
    ]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    body = "\n".join(parts)
    head += f"<style>{_STYLE}</style>"
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _verdict(options: Options, rows: Sequence[Row]) -> str:
    outcomes = Counter(row.outcome for row in rows)
    counts = ", ".join(f"{outcomes[name]} {name}" for name in OUTCOMES if outcomes[name])
    executed = sum(row.executed for row in rows)
    word = "passed" if is_green(rows) else "failed"
    why = "" if executed else " No case was executed, which is a failure."
    where = f"Python {platform.python_version()} on {sys.platform} {platform.machine()}"
    return (
        f'<p><strong class="{word}">&nbsp;{word.upper()}&nbsp;</strong> {counts}; {executed} cases executed.{why}</p>'
        f"<p>{options.examples} cases per kernel and tier, seed {options.seed}. {escape(where)}.</p>"
    )


def _matrix(cells: Mapping[str, Mapping[str, Mapping[str, int]]]) -> str:
    dtypes = sorted({dtype for row in cells.values() for dtype in row})
    body = [
        (operator, [_cell(row.get(dtype)) for dtype in dtypes])
        for operator, row in cells.items()
    ]  # fmt: skip
    return _table(("operator", *dtypes), body)


def _cell(counts: Mapping[str, int] | None) -> tuple[str, str]:
    """Class and text: the worst outcome colours the cell."""
    if counts is None:
        return "inapplicable", ""
    shown = [name for name in ("failed", "passed", "expected", "refused") if counts.get(name)]
    if not shown:
        return "untested", ""
    words = {"passed": "", "failed": " failed", "refused": " refused", "expected": " expected"}
    return shown[0], ", ".join(f"{counts[name]}{words[name]}" for name in shown)


def _tiers(rows: Sequence[Row]) -> str:
    tiers = list(dict.fromkeys(row.tier for row in rows))
    found: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        found.setdefault(row.kernel, {}).setdefault(row.tier, []).append(row)
    body = [(kernel, [_summed(of.get(tier, [])) for tier in tiers]) for kernel, of in found.items()]
    return _table(("kernel", *tiers), body)


def _summed(rows: Sequence[Row]) -> tuple[str, str]:
    if not rows:
        return "inapplicable", ""
    outcomes = {row.outcome for row in rows}
    order = ("failed", "expected", "passed", "refused", "untested", "inapplicable")
    worst = next((name for name in order if name in outcomes), "untested")
    executed = sum(row.executed for row in rows)
    return worst, f"{executed}" + (f" {worst}" if worst != "passed" else "") if executed else worst


def _table(header: Sequence[str], body: Sequence[tuple[str, Sequence[tuple[str, str]]]]) -> str:
    lines = ["<tr>" + "".join(f"<th>{escape(name)}</th>" for name in header) + "</tr>"]
    for name, cells in body:
        shown = "".join(f'<td class="n {kind}">{escape(text)}</td>' for kind, text in cells)
        lines.append(f"<tr><th>{escape(name)}</th>{shown}</tr>")
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def _failures(rows: Sequence[Row]) -> str:
    items = []
    for row in rows:
        if not row.failed:
            continue
        kind = f" ({escape(row.kind)})" if row.kind not in ("", "wrong") else ""
        text = f"<strong>{escape(row.kernel)}</strong>, {escape(row.tier)}{kind}: {escape(row.message)}"
        if row.case is not None:
            text += f"<br><code>orpheus conform replay '{escape(row.case.quoted())}'</code>"
        items.append(f"<li>{text}</li>")
    return f"<h2>Failures</h2><ol>{''.join(items)}</ol>" if items else "<h2>Failures</h2><p>None.</p>"


def _declared(expectations: Sequence[Expectation]) -> str:
    if not expectations:
        return ""
    items = []
    for entry in expectations:
        issue = f" <code>{escape(entry.issue)}</code>" if entry.issue else ""
        when = ", ".join(f"{r.field} {r.op} {r.value!r}" for r in entry.when)
        items.append(
            f"<li><strong>{escape(entry.kernel)}</strong> when {escape(when)}: {escape(entry.reason)} "
            f"({escape(entry.kind)}, {escape(entry.outcome)}){issue}</li>"
        )
    return f"<h2>Declared defects</h2><ul>{''.join(items)}</ul>"


def _reasons(rows: Sequence[Row]) -> str:
    """Why cases were refused, and why rows are untested or inapplicable."""
    lines = []
    for row in rows:
        told = [(text, n) for text, n in row.refused.most_common(5)]
        told += [(f"unjudged: {text}", n) for text, n in row.unjudged.most_common(3)]
        if row.outcome in ("untested", "inapplicable"):
            told.append((row.message, 0))
        for text, count in told:
            shown = f'<td class="n">{count or ""}</td><td class="what">{escape(text)}</td>'
            lines.append(f"<tr><th>{escape(row.kernel)}</th><td>{escape(row.tier)}</td>{shown}</tr>")
    if not lines:
        return ""
    head = "<tr><th>kernel</th><th>tier</th><th>cases</th><th>reason</th></tr>"
    return (
        "<details><summary>Refused, unjudged, untested and inapplicable, with reasons</summary>"
        f'<div class="wide"><table>{head}{"".join(lines)}</table></div></details>'
    )
