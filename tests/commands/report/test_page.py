"""The report of a tiny run, in a browser: from the file system, in dark and light, printed, at phone width."""

from __future__ import annotations

import argparse
import re
import shutil
from html import escape
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipeline.commands import results
from pipeline.ledger import file
from tests import pictures
from tests.ledger.made import decision
from tests.project import Project

pytestmark = pytest.mark.pipeline

PAPER = {"width": 703, "height": 1000}  # A4 between margins of 12 mm, at 96 pixels an inch
REASON = "<script>alert(1)</script>"  # text that must stay text
LEAST_CONTRAST = 4.5  # WCAG 2.2, 1.4.3
MOST_BYTES = 300_000  # of a picture in git
CONTRASTS = """() => {
  const parse = (text) => { const n = text.match(/[\\d.]+/g).map(Number); return [n[0], n[1], n[2], n[3] ?? 1]; };
  const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a)];
  const light = (rgb) => rgb.map((v) => v / 255).map((v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const chain = (element) => element ? [...chain(element.parentElement), element] : [];
  const poor = [];
  for (const element of document.body.querySelectorAll("*")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.getClientRects().length || ["SCRIPT", "STYLE"].includes(element.tagName)) continue;
    const style = getComputedStyle(element);
    let ground = [255, 255, 255], opacity = 1;
    for (const one of chain(element)) {
      ground = over(parse(getComputedStyle(one).backgroundColor), ground);
      opacity *= Number(getComputedStyle(one).opacity);
    }
    const [r, g, b, a] = parse(element instanceof SVGElement ? style.fill : style.color);
    const pair = [light(over([r, g, b, a * opacity], ground)), light(ground)].sort((x, y) => y - x);
    const contrast = (pair[0] + .05) / (pair[1] + .05);
    if (contrast < LEAST) poor.push(`${element.tagName} ${element.textContent.slice(0, 40)}: ${contrast.toFixed(2)}`);
  }
  return poor;
}""".replace("LEAST", str(LEAST_CONTRAST))
BEYOND = """(width) => [...document.body.querySelectorAll("*")]
  .filter((one) => !one.closest(".skip, .unseen, svg, .js-plotly-plot .modebar"))
  .filter((one) => one.getClientRects().length && one.getBoundingClientRect().right > width + 1)
  .map((one) => `${one.tagName}.${one.className} ${one.textContent.trim().slice(0, 40)}`)"""


@pytest.fixture(scope="module")
def report(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the report of a copy of the tiny project, after a decision that is not applied yet."""
    copy = tmp_path_factory.mktemp("report") / "copy"
    shutil.copytree(project.root, copy, symlinks=True)
    file.append(copy, [decision(reason=REASON)])
    assert results.run(copy, argparse.Namespace(write=None, tables=False)) == 0
    return copy / "reports/index.html"


@pytest.fixture
def opened(chromium: Any, report: Path) -> Any:
    """Open the report on a screen."""
    tab = pictures.open_report(chromium, report, window=pictures.SCREEN, colours="light")
    yield tab
    tab.close()


class Elements(HTMLParser):
    """All elements of a page: name and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def test_the_page_needs_nothing_but_the_files_beside_it(report: Path) -> None:
    elements = Elements(report.read_text("utf-8"))
    links = [one[key] for _, one in elements.found for key in ("href", "src") if one.get(key)]
    files = {link for link in links if link and not link.startswith(("#", "data:"))}
    assert files >= {"plotly.min.js"}
    assert all((report.parent / name).is_file() for name in files)
    drawn = {f"pictures/{path.name}" for path in (report.parent / "pictures").iterdir()}
    text = report.read_text("utf-8")
    assert {name for name in drawn if name not in text} == set(), "no picture that nothing shows"
    anchors = {link.removeprefix("#") for link in links if link and link.startswith("#")}
    assert anchors <= {one["id"] for _, one in elements.found if "id" in one}


def test_pictures_tables_and_landmarks_say_what_they_are(report: Path) -> None:
    elements = Elements(report.read_text("utf-8"))
    assert elements.all("img")
    assert all(one["alt"] for one in elements.all("img"))
    assert all(one.get("scope") in {"col", "row"} for one in elements.all("th"))
    assert len(elements.all("caption")) == len(elements.all("table"))
    assert len(elements.all("main")) == len(elements.all("nav")) == 1
    names = [one.get("aria-labelledby") for one in elements.all("section")]
    assert set(names) <= {one.get("id") for _, one in elements.found}
    assert all(one["aria-label"] for _, one in elements.found if one.get("role") in {"img", "region"})


def test_decisions_and_what_is_odd_are_said(report: Path) -> None:
    text = report.read_text("utf-8")
    assert "1 of 1 decisions await application" in text.partition("What was found")[0]
    assert REASON not in text
    assert escape(REASON) in text.partition("The latest decisions")[2]


def test_headings_stand_in_order(report: Path) -> None:
    names = [tag for tag, _ in Elements(report.read_text("utf-8")).found]
    levels = [int(name[1]) for name in names if re.fullmatch("h[1-6]", name)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_the_same_run_gives_the_same_page(report: Path) -> None:
    folder = report.parent
    before = {path.name: path.read_bytes() for path in [report, *(folder / "pictures").iterdir()]}
    results.run(folder.parent, argparse.Namespace(write=None, tables=False))
    assert {path.name: path.read_bytes() for path in [report, *(folder / "pictures").iterdir()]} == before


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("window", [pictures.SCREEN, pictures.PHONE], ids=["screen", "phone"])
def test_a_browser_shows_it_whole(chromium: Any, report: Path, window: dict[str, int], colours: str) -> None:
    said: list[str] = []
    asked: list[str] = []
    listen: pictures.Listeners = {
        "console": lambda message: said.append(message.text),
        "pageerror": lambda error: said.append(str(error)),
        "request": lambda request: asked.append(request.url),
    }
    tab = pictures.open_report(chromium, report, window=window, colours=colours, listen=listen)
    assert said == []
    assert all(url.startswith(("file:", "data:", "blob:")) for url in asked)
    assert tab.evaluate("[...document.images].filter((one) => !one.naturalWidth).map((one) => one.src)") == []
    assert tab.evaluate("document.documentElement.scrollWidth") <= window["width"]
    tab.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert tab.evaluate("document.documentElement.scrollWidth") <= window["width"]
    assert tab.evaluate(CONTRASTS) == []
    tab.close()


def test_the_first_screen_says_what_matters(opened: Any) -> None:
    wanted = ["What was found", "What waits for a person", "What curation changed", "Where to look next"]
    wanted += ["Data", "Code", "Params"]
    for words in wanted:
        box = opened.locator("#summary").get_by_text(words, exact=True).bounding_box()
        assert box, words
        assert box["y"] + box["height"] <= pictures.SCREEN["height"], words
    summary = opened.inner_text("#summary")
    assert "rejected" in summary
    assert "min\n" in summary or "nothing waits" in summary
    assert "interval" in summary
    assert "chance" in summary.lower()
    assert "clean" in summary
    for card in opened.locator("#summary .card").all():
        box = card.bounding_box()
        assert box["y"] + box["height"] <= pictures.SCREEN["height"]


def test_a_keyboard_reaches_the_report_and_its_sections(opened: Any) -> None:
    focused = "[document.activeElement.textContent.trim(), getComputedStyle(document.activeElement).outlineStyle]"
    opened.keyboard.press("Tab")
    assert opened.evaluate(focused) == ["Skip to the report", "solid"]
    assert opened.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    opened.keyboard.press("Tab")
    assert opened.evaluate(focused) == ["Summary", "solid"]
    for _ in range(3):
        opened.keyboard.press("Tab")
    opened.keyboard.press("Enter")
    assert opened.evaluate("location.hash") == "#contradictions"


def test_pointing_at_an_image_in_a_plot_shows_it(opened: Any) -> None:
    opened.locator("#plot-plane").scroll_into_view_if_needed()
    x, y = opened.evaluate("""() => {
      const drawn = document.querySelector("#plot-plane .drawn"), area = drawn.querySelector(".nsewdrag");
      const { x, y } = area.getBoundingClientRect(), { xaxis, yaxis } = drawn._fullLayout, first = drawn.data[0];
      return [x + xaxis.d2p(first.x[0]), y + yaxis.d2p(first.y[0])];
    }""")
    opened.mouse.move(x - 2, y)
    opened.mouse.move(x, y)
    opened.locator("#plot-plane .pointed img").wait_for()
    opened.wait_for_function("document.querySelector('#plot-plane .pointed img').naturalWidth > 0")
    texts = opened.evaluate("document.querySelector('#plot-plane .drawn').data.flatMap((trace) => trace.text)")
    alt = opened.locator("#plot-plane .pointed img").get_attribute("alt")
    assert alt in {text.replace("<br>", ", ") for text in texts}


def test_every_plot_has_points_and_what_flows_in_flows_out(opened: Any) -> None:
    sizes = opened.evaluate(
        "Object.fromEntries([...document.querySelectorAll('.drawn')].map((one) => [one.parentElement.parentElement.id, "
        "one.data.reduce((sum, trace) => sum + (trace.x ? trace.x.length : trace.link.value.length), 0)]))"
    )
    assert {"plot-plane", "plot-flow", "plot-models-balanced_accuracy", "plot-gain", "plot-roc"} <= set(sizes)
    assert min(sizes.values()) > 0
    flow = opened.evaluate("document.querySelector('#plot-flow .drawn').data[0]")
    for place, label in enumerate(flow["node"]["label"]):
        held = int(label.partition(": ")[2].replace(",", ""))
        for name in ("source", "target"):
            ends = zip(flow["link"][name], flow["link"]["value"], strict=True)
            assert sum(value for end, value in ends if end == place) in {0, held}, label


def test_on_paper_nothing_is_cut_off(chromium: Any, report: Path) -> None:
    tab = pictures.open_report(chromium, report, window=PAPER, colours="dark")
    tab.emulate_media(media="print", color_scheme="dark")
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    tab.wait_for_function("[...document.querySelectorAll('.js-plotly-plot')].every((one) => one.offsetWidth)")
    assert tab.evaluate(BEYOND, PAPER["width"]) == []
    assert tab.evaluate("[...document.querySelectorAll('details')].every((one) => one.open)")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert tab.evaluate(CONTRASTS) == []
    tab.close()


def test_pictures_for_the_documentation_are_taken(chromium: Any, report: Path, tmp_path: Path) -> None:
    for path in pictures.take(report, tmp_path, chromium):
        with Image.open(path) as image:
            assert image.width > 300
            assert len(image.convert("RGB").resize((64, 64)).getcolors(64 * 64) or []) > 16, "not blank"
    assert {path.name for path in tmp_path.iterdir()} == set(pictures.PICTURES)


@pytest.mark.parametrize("name", pictures.PICTURES)
def test_pictures_in_git_are_small(name: str) -> None:
    assert (pictures.FOLDER / name).stat().st_size < MOST_BYTES
