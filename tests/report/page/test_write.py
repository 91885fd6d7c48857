"""The page of any run: its numbers are those of the files, its texts are text, and nothing of a run breaks it."""

import base64
import gzip
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ripplestats.report.page import maps
from tests.report.page.runs import HOSTILE, Analysed, analysed
from tests.store.synthetic_run import RATES


class Outline(HTMLParser):
    """The elements of a page, and the content of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            self.scripts[-1] += data
        else:
            self.words.append(data)


def attributes(outline: Outline, tag: str) -> list[dict[str, str | None]]:
    return [found for name, found in outline.tags if name == tag]


@pytest.fixture(scope="module")
def page(hostile: Analysed) -> Outline:
    return Outline(hostile.write())


@pytest.fixture(scope="module")
def data(page: Outline) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(page.scripts[0])
    return found


def test_hostile_texts_add_no_element_and_no_script(page: Outline) -> None:
    assert len(page.scripts) == 2 + 6
    kinds = [found.get("type") for found in attributes(page, "script")]
    assert kinds == ["application/json"] * 2 + [None] * 6
    assert not attributes(page, "img")
    assert len(attributes(page, "style")) == 1
    assert not [name for _, found in page.tags for name in found if name.startswith("on") or name == "style"]


def test_hostile_texts_are_there_as_text(page: Outline, data: dict[str, Any]) -> None:
    shown = {prompt["text"] for prompt in data["prompts"].values()}
    assert {text for text in HOSTILE if "\x00" not in text} <= shown
    assert "null ␀ escape ␛[31m" in shown
    assert HOSTILE[0] in "".join(page.words)


def test_nothing_is_fetched_from_anywhere(page: Outline) -> None:
    assert not [found for _, found in page.tags if found.get("src")]
    links = [found["href"] for found in attributes(page, "a")]
    assert links and all(link is not None and link.startswith("#") for link in links)
    (policy,) = (found["content"] for found in attributes(page, "meta") if "http-equiv" in found)
    assert policy is not None and policy.startswith("default-src 'none'")


def test_every_link_and_label_has_its_target(page: Outline) -> None:
    ids = [found["id"] for _, found in page.tags if "id" in found]
    assert len(ids) == len(set(ids))
    wanted = [str(found["href"])[1:] for found in attributes(page, "a")]
    wanted += [str(found["for"]) for found in attributes(page, "label")]
    assert set(wanted) <= set(ids)


def test_a_map_holds_the_mean_of_the_effects(hostile: Analysed, data: dict[str, Any]) -> None:
    effects = hostile.run.effects()
    for shown in data["maps"]:
        rows = effects[effects["arm"] == shown["arm"]]
        means = rows.groupby(["layer", "effective_rate"], observed=True)["delta_logprob"].mean().unstack()
        np.testing.assert_allclose(shown["means"], means, rtol=1e-3, atol=1e-9)
        np.testing.assert_allclose(shown["rates"], 100 * np.array(RATES), rtol=1e-3)
    assert [shown["arm"] for shown in data["maps"]] == ["top", "random", "keep_top"]


def test_a_field_names_the_prompts_that_are_affected_most(hostile: Analysed, data: dict[str, Any]) -> None:
    effects = hostile.run.effects()
    rows = effects[(effects["arm"] == "random") & (effects["layer"] == 2) & (effects["rate"] == RATES[3])]
    rows = rows.sort_values("delta_logprob", ascending=False)
    details = data["maps"][1]["details"]
    assert details["most"][2][3] == rows["prompt_id"].tolist()[:5]
    assert details["least"][2][3] == rows["prompt_id"].tolist()[:-6:-1]
    assert sum(details["counts"][2][3]) == details["prompts"] == 12
    np.testing.assert_allclose(details["most_effect"][2][3], rows["delta_logprob"][:5], rtol=1e-3)


def test_thresholds_are_those_of_the_estimates(hostile: Analysed, data: dict[str, Any]) -> None:
    rows = hostile.estimates
    rows = rows[(rows["quantity"] == "threshold") & (rows["method"] == "inverted test over documents")]
    rows = rows[(rows["arm"] == "top") & (rows["metric"] == "delta_logprob")].set_index("layer")
    shown = data["comparisons"][0]["series"][0]["thresholds"]
    assert list(shown) == list(rows.index)
    for layer, (estimate, low, high, _) in shown.items():
        row = rows.loc[layer]
        expected = [100 * row[name] for name in ("estimate", "conf_low", "conf_high")]
        np.testing.assert_allclose([estimate, low, high], expected, rtol=1e-3)


def test_arms_keep_the_colours_of_the_figures_and_neurons_kept_have_a_chart_of_their_own(data: dict[str, Any]) -> None:
    (arms,) = data["comparisons"]
    assert [one["colour"] for one in arms["series"]] == [0, 1]
    assert [one["colour"] for one in data["maps"]] == [0, 1, 2]
    kept = data["sufficiency"]["sufficient"]
    assert kept["share"][0][0] == 0.0
    assert data["sufficiency"]["necessary"]["share"][0][-1] == 1.0


def test_the_tables_can_be_unpacked_as_they_are_on_disk(hostile: Analysed, page: Outline) -> None:
    files = json.loads(page.scripts[1])
    names = [file["name"] for file in files]
    assert {"claims.csv", "estimates.csv", "manifest.json", "tables/claims.tex"} <= set(names)
    for file in files:
        content = (hostile.run.path / file["name"]).read_bytes()
        assert gzip.decompress(base64.b64decode(file["packed"])) == content
        assert file["bytes"] == len(content)


def test_claims_come_first_and_say_their_decision(hostile: Analysed, page: Outline) -> None:
    sections = [found["id"] for found in attributes(page, "section")]
    assert sections == ["verdicts", "map", "doses", "thresholds", "sufficiency", "diagnostics", "manifest", "downloads"]
    decided = hostile.claims[hostile.claims["decision"].fillna("") != ""]
    first = decided.groupby("claim", sort=False)["decision"].first()
    shown = [found["class"] for found in attributes(page, "li") if found.get("class")]
    assert shown == first.tolist()


def test_the_same_run_gives_the_same_page(hostile: Analysed) -> None:
    assert hostile.write() == hostile.write()


def test_beyond_the_room_maps_show_their_means_only(hostile: Analysed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maps, "MOST_FIELDS", 2 * 3 * len(RATES))
    shown = hostile.content()["data"]["maps"]
    assert [one["details"] is not None for one in shown] == [True, True, False]
    assert all(np.isfinite(one["means"]).all() for one in shown)


@pytest.mark.parametrize(
    "options",
    [
        {"arms": ("random",), "layers": (1,)},
        {"arms": ("random",), "layers": (0,), "prompts": 1},
        {"arms": ("keep_top",), "prompts": 3},
        {"arms": ("random",), "rates": (0.1, 0.5), "layers": (1,)},
        {"arms": ("random",), "curve": np.zeros_like, "noise": 0.0, "layers": (0, 1)},
        {"arms": ("random",), "metrics": ("logit",), "layers": (0, 1)},
        {
            "arms": ("bottom",),
            "replacements": ("median", "zero"),
            "sites": ("pre", "post"),
            "layers": (1,),
            "per_document": 2,
        },
    ],
    ids=[
        "one arm",
        "one prompt of block 0",
        "kept only",
        "two rates",
        "no effect",
        "logit only",
        "replacements and sites",
    ],
)
def test_any_run_has_a_page(tmp_path: Path, options: dict[str, Any]) -> None:
    found = Outline(analysed(tmp_path / "run", **options).write())
    shown = json.loads(found.scripts[0])
    assert shown["maps"][0]["details"]["prompts"] == options.get("prompts", 12)
    assert shown["unit"] == ("logits" if "metrics" in options else "nats")
    assert len(shown["comparisons"]) == (3 if "replacements" in options else 1)
    assert not re.search(r"\b(nan|None|inf)\b", " ".join(found.words))


def test_a_run_that_is_not_complete_says_so(tmp_path: Path) -> None:
    made = analysed(tmp_path / "run", arms=("random",), layers=(1,))
    made.run.update(completeness={"complete": False, "prompts_done": 12, "prompts": 64})
    words = " ".join("".join(Outline(made.write()).words).split())
    assert "Not complete: 12 of 64 prompts are done" in words
