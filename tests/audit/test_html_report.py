"""The HTML report: what it says, and that a browser shows it as it should, alone, wide and narrow, light and dark."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from auditkit import made_up

from vidanon.audit import verdict
from vidanon.audit.html import page, write_html
from vidanon.config import AuditSettings
from vidanon.errors import OutputError

CHROMIUM = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
CHROMIUM += "--disable-component-update --disable-sync"
HOSTILE = '<script>alert(1)</script>"&.mp4'


def test_names_are_escaped_and_nothing_is_loaded() -> None:
    html = page(made_up(HOSTILE))
    assert "<script" not in html and "&lt;script&gt;" in html
    assert not re.search(r"(src|href)=[\"'](?!data:|#)", html) and "url(" not in html and "@import" not in html
    assert "default-src 'none'" in html


def test_the_verdict_and_the_limits_are_said() -> None:
    failed, passed = page(made_up()), page(made_up(passed=True))
    assert "Not passed" in failed and "4 more of its limits missed" not in passed
    assert "faces that show the original is 4" in failed
    assert "Passed" in passed and "not a promise" in passed
    for html in (failed, passed):
        assert "Body, clothes, gait" in html and "solid fill" in html and "95\N{NO-BREAK SPACE}%" in html


def test_a_swap_is_told_in_its_own_words() -> None:
    swap, blur = page(made_up(mode="swap")), page(made_up())
    for words in ("One person through each track?", "Found again, as new ones", "Other people have 0.02", "inner face"):
        assert words in swap and words not in blur
    assert "Clear outside" in blur and "Clear outside" not in swap


def test_one_person_through_each_track_is_a_limit_only_where_it_is_asked_for_and_faces_show() -> None:
    for mode, least, wanted in (("swap", 0.8, [True]), ("swap", 0.9, [False]), ("swap", None, []), ("blur", 0.9, [])):
        found = verdict.checks(made_up(mode=mode), AuditSettings(same_person=least))
        assert [c.passed for c in found if c.name == "one person through each track"] == wanted * 2


def test_faces_of_the_original_are_there_only_when_asked_for() -> None:
    hidden, shown = page(made_up()), page(made_up(faces=True))
    assert "original face" not in hidden and "clear face, not shown" in hidden
    assert shown.count("original face") == 24 and "keep it as you keep the original" in shown


def test_a_report_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        write_html(tmp_path / "missing" / "report.html", made_up())
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError):
        write_html(tmp_path / "folder", made_up())
    assert list(tmp_path.iterdir()) == [tmp_path / "folder"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=CHROMIUM.split())
        yield opened
        opened.close()


#: text whose contrast with what lies behind it is below 4.5 to 1, as [text, ratio]
FAINT = """() => {
  const parse = (c) => c.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const f = (v) => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
    return .2126 * f(r) + .7152 * f(g) + .0722 * f(b);
  };
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] > 0) return c;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const e of document.querySelectorAll("body *")) {
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
    const a = light(parse(getComputedStyle(e).color)), b = light(behind(e));
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) found.push([e.textContent.trim().slice(0, 40), ratio]);
  }
  return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390, 320])
def test_a_browser_shows_it(browser: Any, tmp_path: Path, width: int, scheme: str) -> None:
    path = tmp_path / "report.html"
    write_html(path, made_up(HOSTILE, faces=True, mode="swap"))
    opened = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    said, asked = [], []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(path.as_uri())
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
    assert opened.evaluate("document.documentElement.scrollWidth") <= width, "nothing sticks out to the side"
    assert opened.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0 && i.alt)")
    assert opened.evaluate("[...document.querySelectorAll('svg')].every(s => s.getAttribute('aria-label'))")
    assert opened.evaluate("document.querySelectorAll('h1').length") == 1
    opened.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    assert (
        opened.evaluate("Math.min(...[...document.querySelectorAll('th[scope=row]')].map((c) => c.offsetWidth))") > 90
    )
    assert opened.evaluate("Math.max(...[...document.querySelectorAll('tr')].map((r) => r.offsetHeight))") < 260
    assert opened.evaluate(FAINT) == []
    assert opened.locator("text=Not passed").is_visible()
    assert opened.locator("text=faces that show the original >> visible=true").count() >= 2
    bars = opened.locator(".measure").first.locator(".way b").evaluate_all("bs => bs.map(b => b.offsetWidth)")
    assert bars[0] > 10 * bars[1] > 0, "40 % beside 1 %"
    back = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", back))) < 200) == (scheme == "dark")
    opened.close()
