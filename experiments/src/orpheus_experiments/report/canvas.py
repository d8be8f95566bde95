"""What every plot of the page needs: a figure as SVG for its place, the page's ink, short names, plain numbers.

Text stays text. What matplotlib draws in black takes ``currentColor``, so that the same plot is dark on light and light
on dark.
"""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any

from orpheus_core.errors import UsageError

__all__ = ["INK", "PALETTE", "figure", "name_bars", "plain_ticks", "short"]

_INSTALL = "pip install 'orpheus-experiments[report]'"
#: Okabe and Ito's colours, which colour-blind people can tell apart, and mixtures; all are seen on black and on white.
PALETTE = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#8a8f00", "#7a5bd0", "#7f7f7f", "#b3588d",
)  # fmt: skip
#: What stands for the page's ink until the SVG is written.
INK = "#010203"
_WIDTH = 5.2
# Coordinates are told to a hundredth of a point.
_TAG, _LONG = re.compile(r"<[^>]*>"), re.compile(r"(\d\.\d\d)\d+")
# The longest label that a plot shows.
_LONGEST = 34


def name_bars(axes: Any, names: Sequence[str]) -> None:
    """Names on the left, bars from top to bottom."""
    axes.set_yticks(range(len(names)), [short(n) for n in names])
    axes.set_ylim(len(names) - 0.4, -0.6)


def plain_ticks(axis: Any) -> None:
    """Numbers at the powers of ten, or at all ticks where there are few of those."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    steps = (1.0,) if high / low > 30 else (1.0, 2.0, 5.0)
    axis.set_major_locator(LogLocator(subs=steps, numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


@contextmanager
def figure(
    title: str, count: float, told: Mapping[str, str] | None = None
) -> Iterator[tuple[Any, list[str]]]:
    """A figure as high as ``count`` bars need; the list gets its SVG.

    ``told``: by an artist's gid, what a pointer that rests on it is told; it may be filled while the figure is drawn.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError(
            f"the page's plots need matplotlib, which cannot be imported ({error}); try: {_INSTALL}"
        ) from None
    name = "f" + hashlib.sha256(title.encode()).hexdigest()[:10]
    ink = dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK
    )
    style = {
        "svg.fonttype": "none", "svg.hashsalt": name, "font.size": 10, "font.family": "sans-serif",
        "text.parse_math": False, "axes.spines.top": False, "axes.spines.right": False,
    }  # fmt: skip
    with rc_context({**style, **ink}), warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", UserWarning
        )  # a font that lacks a name's letters: the browser has others
        whole = Figure(figsize=(_WIDTH, 1.0 + 0.34 * max(2, count)), layout="constrained")
        axes = whole.add_subplot()
        svg: list[str] = []
        yield axes, svg
        target = io.StringIO()
        whole.savefig(target, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        svg.append(_inline(target.getvalue(), name, title, told or {}))


def _inline(text: str, name: str, title: str, told: Mapping[str, str]) -> str:
    """The ``svg`` element alone, ids of its own, in the page's ink, as wide as its place."""
    body = text[text.index("<svg") :]
    start, _, rest = body.partition(">")
    box = re.search(r'viewBox="[^"]*"', start)
    rest = re.sub(r"<metadata>.*?</metadata>", "", rest, flags=re.DOTALL)
    rest = _TAG.sub(lambda tag: _LONG.sub(r"\1", tag[0]), rest)
    rest = re.sub(
        r'<g id="([^"]+)">',
        lambda tag: tag[0] + (f"<title>{escape(told[tag[1]])}</title>" if tag[1] in told else ""),
        rest,
    )
    rest = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', rest)
    rest = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', rest)
    rest = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", rest)
    rest = rest.replace(INK, "currentColor")
    head = f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {box[0] if box else ""}'
    return f'{head} role="img" aria-label="{escape(title)}">{rest}'


def short(text: str) -> str:
    """A label that fits: printable, and cut where it is long."""
    shown = "".join(c if c.isprintable() else "?" for c in text)
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 3] + "..."
