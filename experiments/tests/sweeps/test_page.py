"""The page in a real browser: nothing is fetched, nothing is said on the console, nothing is wider than the window."""

from __future__ import annotations

import shutil

import pytest
from orpheus_experiments.report import write_report

from .test_report import fill


@pytest.fixture(scope="module")
def browser():
    driver = pytest.importorskip("playwright.sync_api", reason="drives a browser with Playwright")
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with driver.sync_playwright() as started:
        try:
            found = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        except driver.Error as error:
            pytest.skip(f"no Chromium could be started: {str(error).splitlines()[0]}")
        yield found
        found.close()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (400, "dark")])
def test_in_a_browser(browser, tmp_path, width, scheme) -> None:
    for module in ("jinja2", "matplotlib"):
        pytest.importorskip(module, reason="the page needs it (extra report)")
    path = write_report(fill(tmp_path / "r"), "html")
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    assert not said and asked == [path.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # Text of plots is no smaller on the screen than small print, and no plot is wider than the window.
    sizes = page.evaluate("""() => [...document.querySelectorAll('svg')].map(s => {
        const box = s.getBoundingClientRect(); const texts = [...s.querySelectorAll('text')];
        return [box.width, Math.min(...texts.map(t => t.getBoundingClientRect().height))] })""")
    assert len(sizes) == 16 and all(0 < w <= width and h >= 9 for w, h in sizes), sizes
    # Ink and paper are far apart, in plots too.
    ink, paper, plot = page.evaluate("""() => {
        const of = (e, p) => getComputedStyle(e)[p].match(/[0-9]+/g).map(Number);
        return [of(document.body, 'color'), of(document.body, 'backgroundColor'),
                of(document.querySelector('svg text'), 'fill')] }""")
    assert abs(sum(ink) - sum(paper)) > 450 and plot == ink
    page.close()
