import base64
import hashlib
import html
import json
import re
import struct
import zlib
from html.parser import HTMLParser

from tunebook.report._words import visible
from tunebook.report.base import Axis, Bar, Bars, Column, Heading, Image, Report, Table, text
from tunebook.report.html import png, policy, render_html, script_json


class Page(HTMLParser):
    """The elements, attributes and words of a page, as a browser would read them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.inside = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = tag

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "script":
            self.scripts.append(data)
        elif self.inside == "style":
            self.styles.append(data)
        else:
            self.words.append(data)


ALLOWED = re.compile(
    "html|head|meta|title|link|style|script|body|a|div|nav|details|summary|ol|ul|li|main|header|h[1-4]|p|noscript|"
    "figure|figcaption|table|thead|tbody|tr|th|td|code|pre|strong|em|span|dl|dt|dd|aside|img"
)
ATTRIBUTES = re.compile(
    "charset|http-equiv|content|name|rel|href|type|id|class|lang|aria-label|aria-hidden|open|data-figure|data-v|"
    "tabindex|role|scope|src|alt"
)


def test_hostile_names_make_no_element_and_no_attribute(hostile: Report, payloads: tuple[str, ...]) -> None:
    page = Page(render_html(hostile))
    assert [tag for tag, _ in page.tags if not ALLOWED.fullmatch(tag)] == []
    assert [name for _, said in page.tags for name in said if not ATTRIBUTES.fullmatch(name)] == []
    assert len(page.scripts) == 2
    assert all(a["href"].startswith(("#", "data:image/svg+xml,")) for _, a in page.tags if a.get("href") is not None)
    assert all(a["src"].startswith("data:image/png;base64,") for _, a in page.tags if "src" in a)
    shown = set(page.words)
    assert {visible(p) for p in payloads} <= shown


def test_data_for_the_script_cannot_end_it(hostile: Report) -> None:
    data = Page(render_html(hostile)).scripts[0]
    assert not set(data) & set("<>&\u2028\u2029")
    figures = json.loads(data)
    assert {f["block"] for f in figures} == {"Lines", "Scatter", "Bars", "Matrix", "Parallel"}
    nasty = "</script><!--\u2028\ud800"
    assert json.loads(script_json(nasty)) == nasty


def test_the_policy_admits_exactly_the_script_and_the_style(sample: Report) -> None:
    page = Page(render_html(sample))

    def digest(said: str) -> str:
        return "'sha256-" + base64.b64encode(hashlib.sha256(said.encode()).digest()).decode() + "'"

    assert f"script-src {digest(page.scripts[1])};" in policy()
    assert f"style-src {digest(page.styles[0])};" in policy()
    assert "unsafe" not in policy() and "http" not in policy()
    names = [(tag, attributes) for tag, attributes in page.tags if tag in ("meta", "style", "script")]
    policies = [i for i, (_, a) in enumerate(names) if a.get("http-equiv") == "Content-Security-Policy"]
    assert policies == [1]
    assert html.unescape(str(names[1][1]["content"])) == policy()


def test_a_report_is_one_small_file_without_a_network_address(sample: Report) -> None:
    page = render_html(sample)
    assert len(page.encode()) < 300_000
    addresses = set(re.findall(r"https?://[^\"'& )]+", page))
    assert addresses <= {"http://www.w3.org/2000/svg"}


def test_numbers_that_json_has_not_become_null(hard: Report) -> None:
    page = Page(render_html(hard))
    figures = json.loads(page.scripts[0], parse_constant=lambda name: 1 / 0)
    assert any(None in s["y"] for f in figures if f["block"] == "Lines" for s in f["series"])


def test_zero_is_a_value_and_not_nothing() -> None:
    page = Page(render_html(Report("r", [Bars("b", Axis("x"), [Bar("zero", 0.0, 0.0, 0.5)])])))
    bar = json.loads(page.scripts[0])[0]["bars"][0]
    assert (bar["value"], bar["low"], bar["high"]) == (0, 0, 0.5)


def test_headings_get_anchors_of_their_own_and_a_table_of_contents() -> None:
    headings = [Heading("Main"), Heading("main"), Heading("学習"), Heading("figures"), Heading("Deep", 3)]
    page = Page(render_html(Report("r", headings)))
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    links = [str(a["href"])[1:] for tag, a in page.tags if tag == "a"]
    assert set(links) <= set(ids)
    assert [a["class"] for tag, a in page.tags if tag == "li"] == ["level1"] * 4
    assert not any(tag == "nav" for tag, _ in Page(render_html(Report("r", headings[:2]))).tags)


def test_a_table_shows_few_digits_and_keeps_all() -> None:
    page = Page(render_html(Report("r", [Table([Column("v", "number")], [(1 / 3,), (2,)])])))
    cells = [a for tag, a in page.tags if tag == "td"]
    assert cells[0]["data-v"] == repr(1 / 3)
    assert "0.3333" in "".join(page.words)


def test_a_picture_is_a_png_of_its_pixels() -> None:
    data = base64.b64decode(png(Image([[0, 128, 255], [7, 8, 300]])).removeprefix("data:image/png;base64,"))
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">IIBB", data[16:26]) == (3, 2, 8, 0)
    start = data.index(b"IDAT")
    length = struct.unpack(">I", data[start - 4 : start])[0]
    assert zlib.decompress(data[start + 4 : start + 4 + length]) == bytes([0, 0, 128, 255, 0, 7, 8, 255])


def test_one_report_gives_one_text(sample: Report) -> None:
    assert render_html(sample) == render_html(sample)
    assert "Nothing to show yet." in render_html(Report("r", [Table([Column("a")], [])]))
    assert render_html(Report("", [text()])).startswith("<!doctype html>")
