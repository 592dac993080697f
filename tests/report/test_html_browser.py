"""The report in a real browser, under its own content security policy."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tunebook.report._words import visible
from tunebook.report.base import Axis, Lines, Points, Report, Scatter, Series
from tunebook.report.html import render_html

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no Chromium at {CHROMIUM}"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Open a report; at the end, nothing was said on the console, thrown, asked for, or popped up."""
    said: list[str] = []
    contexts = []

    def open_report(report: Report, width: int = 1100, **options: Any) -> Any:
        file = tmp_path / "report.html"
        file.write_text(render_html(report), encoding="utf-8")
        context = browser.new_context(viewport={"width": width, "height": 800}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: said.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (said.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda asked: said.append(asked.url) if asked.url[:5] not in ("file:", "data:") else None)
        page.goto(file.as_uri())
        if options.get("java_script_enabled", True):
            page.wait_for_selector("html[data-ready]", state="attached")
        return page

    yield open_report
    for context in contexts:
        context.close()
    assert said == []


def bad_attributes(page: Any) -> list[str]:
    return page.evaluate(
        """() => [...document.querySelectorAll("svg, svg *")].flatMap((node) => [...node.attributes]
           .filter((a) => !["aria-label"].includes(a.name) && /NaN|Infinity|undefined|null/.test(a.value))
           .map((a) => `${node.tagName} ${a.name}=${a.value.slice(0, 60)}`)).slice(0, 5)"""
    )


def test_hostile_names_are_shown_and_do_nothing(opened: Any, hostile: Report, payloads: tuple[str, ...]) -> None:
    page = opened(hostile)
    page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
    page.wait_for_timeout(100)
    assert page.evaluate("window.__pwn") is None
    charts = page.evaluate("[...document.querySelectorAll('.plot')].map((n) => n.textContent).join('\\n')")
    data = page.evaluate("[...document.querySelectorAll('.data')].map((n) => n.textContent).join('\\n')")
    words = page.evaluate("document.querySelector('main').textContent")
    for payload in payloads:
        for shown in (charts, data, words):
            assert visible(payload) in shown
    assert "could not be drawn" not in charts
    attributes = page.evaluate("[...document.querySelectorAll('*')].flatMap((n) => n.getAttributeNames())")
    assert not [name for name in attributes if name.startswith("on")]
    assert page.locator("iframe, base, object, embed, form, script[src], main script, main style").count() == 0
    page.locator("figure.chart svg.canvas").first.hover()
    assert page.evaluate("window.__pwn") is None


def test_the_policy_stops_a_script_that_got_in(browser: Any, sample: Report, tmp_path: Path) -> None:
    file = tmp_path / "broken.html"
    smuggled = "<script>window.__pwn = 1</script><img src=x onerror='window.__pwn = 2'><p style='color:red' id=x>x</p>"
    file.write_text(render_html(sample).replace("</main>", smuggled + "</main>"), encoding="utf-8")
    page = browser.new_page()
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text))
    page.goto(file.as_uri())
    page.wait_for_selector("html[data-ready]", state="attached")
    assert page.evaluate("window.__pwn") is None
    assert page.evaluate("getComputedStyle(document.getElementById('x')).color") != "rgb(255, 0, 0)"
    assert sum("Content Security Policy" in text for text in refused) >= 3
    with pytest.raises(playwright.Error, match="TrustedHTML"):
        page.evaluate("document.body.innerHTML = '<b>x</b>'")
    page.close()


def test_hard_numbers_are_drawn_or_said_and_never_break_a_figure(opened: Any, hard: Report) -> None:
    page = opened(hard, width=700)
    words = page.evaluate("document.querySelector('main').textContent")
    assert "could not be drawn" not in words
    assert words.count("too few trials: 1 of 3 needed") == 2
    assert "No trial has failed." in words
    assert bad_attributes(page) == []
    drawn = page.evaluate("[...document.querySelectorAll('.plot')].filter((p) => p.querySelector('svg.canvas')).length")
    assert drawn == page.locator("figure.chart").count() > 100


@pytest.mark.parametrize("width", [380, 700, 1100, 1600])
def test_a_page_never_scrolls_sideways(opened: Any, sample: Report, hostile: Report, width: int) -> None:
    for report in (sample, hostile) if width in (380, 1100) else (sample,):
        page = opened(report, width)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert bad_attributes(page) == []


def test_dark_pages_are_dark_and_can_be_turned_light(opened: Any, sample: Report) -> None:
    def lightness(page: Any) -> tuple[int, int]:
        found = [
            page.evaluate(f"getComputedStyle(document.querySelector('{s}')).{what}")
            for s, what in (("body", "backgroundColor"), ("figure.chart svg text", "fill"))
        ]
        page_colour, ink = (sum(int(v) for v in c[c.index("(") + 1 : -1].split(",")[:3]) for c in found)
        return page_colour, ink

    light = lightness(opened(sample, color_scheme="light"))
    page = opened(sample, color_scheme="dark")
    dark = lightness(page)
    assert light[0] > 700 > light[1] and dark[0] < 100 < dark[1]
    page.get_by_role("button", name="Light").click()
    assert lightness(page) == light


def figure(page: Any, title: str) -> Any:
    return page.locator("figure", has=page.locator("figcaption", has_text=title)).first


def test_a_brush_selects_lines_and_dims_the_same_trials_elsewhere(opened: Any, sample: Report) -> None:
    page = opened(sample)
    parallel = figure(page, "Parallel coordinates")
    parallel.scroll_into_view_if_needed()
    assert parallel.locator(".thread").count() == 96
    assert parallel.locator(".thread.off").count() == 0
    box = parallel.locator("rect.pick").last.bounding_box()
    x = box["x"] + box["width"] / 2
    page.mouse.move(x, box["y"] + box["height"] * 0.5)
    page.mouse.down()
    page.mouse.move(x, box["y"] + box["height"] * 0.8, steps=4)
    page.mouse.up()
    kept = 96 - parallel.locator(".thread.off").count()
    assert 0 < kept < 96
    assert parallel.locator(".said").first.text_content().startswith(f"{kept} of 96 lines selected")
    history = figure(page, "History")
    bright = history.locator("g > .dot:not(.off)").count()
    assert 0 < bright < 97 and history.locator(".dot.off").count() > 0
    parallel.get_by_role("button", name="Clear selection").click()
    assert parallel.locator(".thread.off").count() == history.locator(".dot.off").count() == 0
    parallel.locator("rect.pick").first.focus()
    page.keyboard.press("ArrowDown")
    assert parallel.locator(".thread.off").count() > 0
    page.keyboard.press("Escape")
    assert parallel.locator(".thread.off").count() == 0


def test_an_axis_turns_over(opened: Any, sample: Report) -> None:
    page = opened(sample)
    parallel = figure(page, "Parallel coordinates")
    before = parallel.locator(".thread").first.get_attribute("d")
    parallel.locator("text.turn").first.focus()
    page.keyboard.press("Enter")
    assert parallel.locator(".thread").first.get_attribute("d") != before


def test_hovering_and_arrow_keys_read_out_the_values(opened: Any, sample: Report) -> None:
    page = opened(sample)
    canvas = figure(page, "History").locator("svg.canvas")
    canvas.scroll_into_view_if_needed()
    dot = figure(page, "History").locator("g > .dot").first.bounding_box()
    page.mouse.move(dot["x"] + 4, dot["y"] + 4)
    tip = page.locator(".tip")
    assert "validation loss: " in tip.text_content() and tip.is_visible()
    page.mouse.move(2, 2)
    assert not tip.is_visible()
    canvas.focus()
    page.keyboard.press("ArrowRight")
    first = tip.text_content()
    page.keyboard.press("ArrowRight")
    assert tip.is_visible() and tip.text_content() != first
    page.keyboard.press("Escape")
    assert not tip.is_visible()


def test_far_values_are_cut_counted_and_shown_on_demand(opened: Any) -> None:
    values = [*(1 + i / 40 for i in range(40)), 1e6, -1e6, math.nan]
    axis = Axis("loss")
    points = Scatter("points", Axis("trial"), axis, [Points("all", range(43), values)])
    lines = Lines("lines", Axis("epoch"), axis, [Series("s", range(43), values)])
    page = opened(Report("r", [points, lines]))
    for title in ("points", "lines"):
        chart = figure(page, title)
        said = " ".join(chart.locator(".said").all_text_contents())
        assert "1 value above" in said and "1 value below" in said and "1 value is not finite" in said
        assert "1000000" not in chart.locator("svg.canvas").text_content()
        chart.get_by_role("button", name="Show all").click()
        assert "1000000" in chart.locator("svg.canvas").text_content()


def test_the_legend_switches_series_off(opened: Any, sample: Report) -> None:
    page = opened(sample)
    chart = figure(page, "Learning curves")
    assert chart.locator("path.path").count() - chart.locator(".legend path.path").count() == 9
    chart.locator(".legend button").nth(1).click()
    assert chart.locator("path.path").count() - chart.locator(".legend path.path").count() == 7
    assert chart.locator(".legend button").nth(1).get_attribute("aria-pressed") == "false"


def test_tables_sort_by_value_and_unfold(opened: Any, sample: Report) -> None:
    page = opened(sample)
    table = figure(page, "Trials, best first")
    rows = table.locator("tbody tr")
    assert sum(rows.nth(i).is_visible() for i in range(rows.count())) == 15
    table.get_by_role("button", name="Show all 96 rows").click()
    assert rows.last.is_visible()

    def column(j: int) -> list[float]:
        texts = table.locator(f"tbody td:nth-child({j})").all_text_contents()
        return [float(t) for t in texts if t not in ("NaN", "")]

    table.get_by_role("button", name="weight_decay").click()
    assert column(7) == sorted(column(7))
    table.get_by_role("button", name="weight_decay").click()
    assert column(7) == sorted(column(7), reverse=True)
    table.get_by_role("button", name="loss").click()
    assert table.locator("tbody td:nth-child(2)").last.text_content() == "NaN"


def test_figures_and_tables_can_be_saved(opened: Any, sample: Report, tmp_path: Path) -> None:
    page = opened(sample)
    chart = figure(page, "History")
    saved = {}
    for kind in ("CSV", "SVG", "PNG"):
        with page.expect_download() as download:
            chart.get_by_role("button", name=kind).click()
        assert download.value.suggested_filename == f"history.{kind.lower()}"
        saved[kind] = Path(download.value.path()).read_bytes()
    assert saved["CSV"].decode().splitlines()[0] == "group,label,trial,validation loss"
    assert len(saved["CSV"].decode().splitlines()) == 1 + 97 + 96
    assert saved["SVG"].startswith(b"<svg") and b"class=" not in saved["SVG"]
    assert saved["PNG"].startswith(b"\x89PNG") and len(saved["PNG"]) > 10_000
    with page.expect_download() as download:
        figure(page, "Trials, best first").get_by_role("button", name="CSV").click()
    assert len(Path(download.value.path()).read_text().splitlines()) == 97


def test_a_formula_in_a_name_is_defused_in_csv(opened: Any) -> None:
    chart = Scatter("f", Axis("x"), Axis("y"), [Points("=cmd|' /C calc'!A0", [-1], [2], labels=["-1+1"])])
    page = opened(Report("r", [chart]))
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    assert Path(download.value.path()).read_text().splitlines()[1] == "'=cmd|' /C calc'!A0,'-1+1,-1,2"


def test_words_and_tables_need_no_script(opened: Any, sample: Report) -> None:
    page = opened(sample, java_script_enabled=False)
    assert page.get_by_text("Finalist A beats the baseline on all 5 seeds.").is_visible()
    assert page.locator("figure.table").last.locator("tbody tr").count() == 96
    assert page.locator("figure.chart").count() == 11


def test_every_figure_has_a_name_and_can_be_reached_by_keyboard(opened: Any, sample: Report) -> None:
    page = opened(sample)
    names = page.evaluate("[...document.querySelectorAll('svg.canvas')].map((s) => s.getAttribute('aria-label'))")
    assert all(names) and len(names) == page.locator("figure.chart").count()
    assert page.locator("svg.canvas[role=img]:not([tabindex])").count() == 0
    chart = figure(page, "Importance")
    chart.get_by_text("Data", exact=True).click()
    chart.locator(".data tbody tr").first.wait_for()
    assert chart.locator(".data tbody tr").count() == 7


def test_printing_unfolds_everything(opened: Any, sample: Report) -> None:
    page = opened(sample)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.get_by_text("Numbers come from the record of the study alone.").is_visible()
    assert page.locator("figure.table").last.locator("tbody tr").last.is_visible()
    assert not page.locator(".tools").first.is_visible()
