from __future__ import annotations

import re
from html.parser import HTMLParser

from orpheus_conformance.conform.page import html
from orpheus_conformance.engine import Options, run

VOID = {"meta", "br"}


class Page(HTMLParser):
    """Checks that elements are nested, and keeps the classes of cells and what is loaded from elsewhere."""

    def __init__(self, text):
        super().__init__()
        self.open, self.cells, self.loaded, self.code = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.loaded += [found[name] for name in ("src", "href") if name in found]
        if tag == "td":
            self.cells.append(found.get("class", ""))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "code":
            self.code.append(data)


def test_the_page_stands_alone_and_is_well_formed(toy, conform, tmp_path):
    toy("Relu", "wrong_kernels:relu_changes_its_input")
    code, _, _ = conform("toy", "--html", tmp_path / "r.html", tiers=("exact", "layouts", "refusal"))
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    page = Page(text)
    assert code == 1
    assert page.loaded == []
    assert "http" not in text
    assert "FAILED" in text
    assert any(cell.endswith("failed") for cell in page.cells)
    assert any(
        cell.endswith("untested") for cell in page.cells
    )  # element types that the kernel does not declare
    assert page.code
    assert all(re.fullmatch(r"orpheus conform replay '\{.*\}'", code) for code in page.code)


def test_what_kernels_say_is_text_and_no_markup(toy):
    backend = toy("Relu", "wrong_kernels:speaks_markup")
    text = html(backend, Options(), list(run(backend, Options(3, tiers=("exact",)))))
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    Page(text)


def test_the_matrix_counts_what_was_executed(toy):
    backend = toy("Relu", "wrong_kernels:relu")
    rows = list(run(backend, Options(10, tiers=("exact",))))
    text = html(backend, Options(), rows)
    counts = re.findall(r'<td class="n passed">(\d+)</td>', text.split("Kernels and tiers")[0])
    assert sum(map(int, counts)) == rows[0].executed == 10
