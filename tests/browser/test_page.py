"""report.html in a real browser: quiet, offline, usable by mouse, keyboard and screen reader, and text stays text."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Open, Opened
from tests.rendering.tex import text_of
from tests.report.page.runs import HOSTILE, Analysed, analysed

pytestmark = [pytest.mark.browser, pytest.mark.long]

AXE = (Path(__file__).parent / "axe.min.js").read_text(encoding="utf-8")
#: Milliseconds until something that does not come is a failure.
WAIT = 10_000
CHARTS = ["map", "distribution", "doses", "thresholds", "sufficiency", "residuals", "influence"]


def field(opened: Opened) -> str:
    return opened.page.locator("#field-title").inner_text()


@pytest.mark.parametrize("width", [390, 1280, 2560])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_quietly_fits_its_width_and_draws_every_chart(open_page: Open, width: int, scheme: str) -> None:
    opened = open_page(width=width, scheme=scheme)
    assert opened.messages == []
    assert opened.requests == [opened.page.url]
    assert opened.page.evaluate("document.documentElement.scrollWidth") == width
    drawn = opened.page.evaluate("[...document.querySelectorAll('.plot')].map((one) => one.id)")
    assert drawn == [f"plot-{name}" for name in CHARTS]


@pytest.mark.parametrize(
    "options",
    [
        {"arms": ("random",), "layers": (0,), "prompts": 1},
        {"arms": ("random",), "curve": lambda rate: 0 * rate, "noise": 0.0, "layers": (0, 1)},
        {"arms": ("random",), "metrics": ("logit",), "layers": (1,), "rates": (0.0, 0.1, 0.5)},
        {"arms": ("bottom",), "replacements": ("median", "zero"), "sites": ("pre", "post"), "layers": (1, 2)},
    ],
    ids=["one prompt", "no effect", "logit only", "replacements and sites"],
)
def test_a_page_of_any_run_opens_quietly(open_page: Open, tmp_path: Path, options: dict[str, Any]) -> None:
    made = analysed(tmp_path / "run", **options)
    made.write()
    opened = open_page(made.run.path)
    assert opened.messages == []


def test_what_a_run_lacks_is_said_in_words(open_page: Open, tmp_path: Path) -> None:
    made = analysed(tmp_path / "run", arms=("top", "random"))
    made.write()
    page = open_page(made.run.path, width=390).page
    assert "Not measured: this run lacks the arm keep_top. Replacing" in page.locator("#sufficiency").inner_text()
    assert page.locator(".untested").all_inner_texts() == [
        "Claim 6 was not tested: it needs another replacement, zero or mean, beside the median."
    ]
    tested = page.locator(".verdicts > li").count()
    assert page.locator("#verdicts > p").first.inner_text().startswith(f"{tested} statements were tested: ")
    assert all(link.is_visible() for link in page.locator("nav a").all())


def test_words_in_a_table_of_numbers_stand_below_their_head(open_page: Open) -> None:
    page = open_page().page
    page.locator("details[data-table=thresholds] summary").click()
    heads = page.locator("details[data-table=thresholds] thead th")
    cells = page.locator("details[data-table=thresholds] tbody tr").first.locator("th, td")
    sides = [[one.evaluate("(one) => getComputedStyle(one).textAlign") for one in row.all()] for row in (heads, cells)]
    assert sides[0] == sides[1]


def test_a_click_on_the_map_shows_that_field(open_page: Open) -> None:
    opened = open_page()
    before = opened.page.locator("#most").inner_text()
    rectangle = opened.page.locator("#plot-map .mark-rect").first
    rectangle.scroll_into_view_if_needed()
    box = rectangle.bounding_box()
    assert box is not None
    opened.page.mouse.click(box["x"] + 3, box["y"] + box["height"] - 3)
    assert field(opened) == "Block 0, 0.2 % of its neurons replaced"
    assert opened.page.locator("#map-block").input_value() == "0"
    assert opened.page.locator("#most").inner_text() != before
    assert opened.page.locator("#most li").count() == opened.page.locator("#least li").count() == 5
    opened.page.mouse.click(box["x"] + box["width"] - 3, box["y"] + 3)
    assert field(opened) == "Block 2, 90 % of its neurons replaced"
    assert opened.messages == []


def test_arrow_keys_move_over_the_map_and_stop_at_its_edges(open_page: Open) -> None:
    opened = open_page()
    opened.page.locator("#map-block").select_option("1")
    opened.page.locator("#map-rate").select_option("0")
    opened.page.locator("#plot-map").focus()
    opened.page.keyboard.press("ArrowRight")
    assert field(opened) == "Block 1, 0.6 % of its neurons replaced"
    for _ in range(4):
        opened.page.keyboard.press("ArrowUp")
    assert field(opened) == "Block 2, 0.6 % of its neurons replaced"


def test_another_map_keeps_what_was_kept(open_page: Open) -> None:
    opened = open_page()
    opened.page.locator("#map-choice").select_option("2")
    opened.page.wait_for_selector("#field-title:has-text('kept')", timeout=WAIT)
    assert opened.page.locator("#plot-map").inner_text().count("neurons kept (%)") == 1
    assert opened.messages == []


def test_other_blocks_can_be_chosen_in_every_chart(open_page: Open) -> None:
    opened = open_page()
    for name in ("doses", "sufficiency", "residuals"):
        opened.page.locator(f"#{name}-block").select_option("0")
        opened.page.wait_for_selector(f"#plot-{name}[aria-label*='block 0'] svg", timeout=WAIT)
    opened.page.locator("#thresholds-of").select_option("1")
    opened.page.wait_for_selector("#plot-thresholds[aria-label*='random'] svg", timeout=WAIT)
    assert opened.messages == []


def test_every_chart_has_its_numbers_in_a_table(open_page: Open, run_with_page: Analysed) -> None:
    page = open_page().page
    for name in CHARTS:
        page.locator(f"details[data-table={name}] summary").click()
        page.wait_for_selector(f"details[data-table={name}] tbody tr:nth-child(3)", timeout=WAIT)
    effects = run_with_page.run.effects()
    rows = effects[(effects["arm"] == "top") & (effects["layer"] == 0) & (effects["rate"] == 0.9)]
    shown = page.locator("details[data-table=map] tbody tr").first.locator("td").last.inner_text()
    assert float(shown) == pytest.approx(rows["delta_logprob"].mean(), rel=0.01)


def test_hostile_texts_stay_text(open_page: Open) -> None:
    page = open_page().page
    assert "broken" not in page.title().split("ripplestats")[-1]
    assert page.locator("h1").inner_text().endswith(HOSTILE[0])
    page.locator("#map-rate").select_option("9")
    texts = "".join(page.locator(f"#{end}").inner_text() for end in ("most", "least"))
    shown = [text for text in HOSTILE if re.sub(r"\s+", " ", text) in re.sub(r"\s+", " ", texts)]
    assert len(shown) >= 3
    assert page.locator("#most script, #most img, #least script, #least img").count() == 0
    assert page.locator("script").count() == 8
    assert page.evaluate("getComputedStyle(document.querySelector('h1')).display") == "block"


def test_a_script_that_is_not_ours_is_refused(open_page: Open) -> None:
    opened = open_page()
    add = (
        "(code) => { const one = document.createElement('script'); one.textContent = code; document.body.append(one); }"
    )
    opened.page.evaluate(add, "window.intruded = true")
    assert opened.page.evaluate("window.intruded") is None
    assert any("Content Security Policy" in message for message in opened.messages)


@pytest.mark.parametrize("name", ["estimates.csv", "tables/claims.tex"])
def test_downloads_are_the_files_of_the_run(open_page: Open, run_with_page: Analysed, name: str) -> None:
    page = open_page().page
    with page.expect_download() as found:
        page.locator(f"button[data-file='{name}']").click()
    assert found.value.suggested_filename == Path(name).name
    assert Path(found.value.path()).read_bytes() == (run_with_page.run.path / name).read_bytes()


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light"), (1280, "dark")])
def test_axe_finds_no_serious_violation(open_page: Open, width: int, scheme: str) -> None:
    page = open_page(width=width, scheme=scheme).page
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    page.evaluate(AXE)
    found = page.evaluate("axe.run().then((result) => result.violations)")
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    assert [(one["id"], one["nodes"][0]["html"]) for one in serious] == []


def test_the_map_follows_the_colour_scheme(open_page: Open) -> None:
    page = open_page().page
    colour = "document.querySelector('#plot-map .mark-rect path').getAttribute('fill')"
    light = page.evaluate(colour)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"() => {colour} !== '{light}'", timeout=WAIT)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 28)"


def test_print_is_on_white_without_what_cannot_be_used_on_paper(open_page: Open) -> None:
    page = open_page(scheme="dark").page
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    controls = page.locator("nav, select, button, details.numbers, .operated")
    assert controls.count() > 10
    assert not any(one.is_visible() for one in controls.all())
    assert page.locator("#plot-doses svg").is_visible()


def test_the_printed_page_is_a_few_sheets_of_a4_with_every_section(open_page: Open, tmp_path: Path) -> None:
    page = open_page(scheme="dark").page
    page.pdf(path=tmp_path / "report.pdf", print_background=True, prefer_css_page_size=True)
    content = (tmp_path / "report.pdf").read_bytes()
    sheets = re.findall(rb"/Type\s*/Page\b[^s]", content)
    assert 4 <= len(sheets) <= 9
    width, height = map(float, re.search(rb"/MediaBox\s*\[\s*0 0 ([0-9.]+) ([0-9.]+)", content).groups())
    assert (width, height) == (pytest.approx(595, abs=1), pytest.approx(842, abs=1))
    said = text_of(tmp_path / "report.pdf")
    for heading in ("Every block and rate", "Dose–response", "Threshold by block", "Sufficiency", "Diagnostics"):
        assert heading in said
    assert "These numbers as a table" not in said
    assert "Downloads" not in said
    # The page on the screen is as it was.
    page.wait_for_function("() => document.querySelector('#plot-doses svg').clientWidth > 900", timeout=WAIT)
