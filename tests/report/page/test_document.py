"""Text stays text in every place of the page, and the page allows itself only its own scripts."""

import base64
import hashlib
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripplestats.report.page import document
from ripplestats.report.page.document import script_json, visible
from ripplestats.report.page.plain import ending, numbers, title

VENDOR = Path(document.__file__).parent / "vendor"
HOSTILE = [
    "<script>",
    "</script>",
    "<!--",
    "-->",
    "]]>",
    "&lt;",
    "javascript:alert(1)",
    "\u2028",
    "\u202e",
    "\x00",
    "'\"`",
]


@given(st.lists(st.text() | st.sampled_from(HOSTILE)))
def test_json_in_a_script_is_the_same_content_and_cannot_end_the_script(texts: list[str]) -> None:
    found = script_json({"texts": texts})
    assert json.loads(found) == {"texts": texts}
    assert not re.search(r"[<>&\u2028\u2029]", found)


def test_a_number_that_is_not_finite_is_refused_and_a_missing_one_is_null() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        script_json({"value": float("nan")})
    assert script_json(numbers([[float("nan"), 0.123456], [float("inf"), 12345.6]])) == "[[null,0.1235],[null,12350.0]]"
    assert numbers(7) == 7


def test_control_characters_are_shown_as_their_pictures() -> None:
    assert visible("a\x00b\x1b[0m\x7f\n") == "a␀b␛[0m␡\n"


def test_texts_are_cut_to_a_length_prompts_at_their_start() -> None:
    assert ending("0123456789", 10) == "0123456789"
    assert ending("0123456789", 4) == "…789"
    assert title("", "document 3") == title(None, "document 3") == "document 3"
    assert len(title("long " * 40, "")) == 60


def test_the_libraries_are_those_that_were_published() -> None:
    lines = (VENDOR / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    sums = {name: digest for digest, name in (line.split("  ") for line in lines)}
    assert sums == {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in VENDOR.glob("*.js")}
    assert set(document._VENDORED) == set(sums)
    licences = (VENDOR / "LICENSES.txt").read_text(encoding="utf-8")
    assert all(name in licences for name in sums)


def test_the_policy_names_every_script_and_the_style_by_its_hash_and_allows_nothing_else() -> None:
    policy = document._policy(["let one;", "let two;"], "p {}")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in ("let one;", "let two;")]
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == " ".join(f"'sha256-{digest}'" for digest in digests)
    assert "unsafe" not in policy
    assert {name for name in rules if name.endswith("-src")} == {"default-src", "script-src", "style-src"}


def test_no_script_holds_what_ends_a_script_and_none_asks_for_a_source_map() -> None:
    scripts = [*map(document._vendored, document._VENDORED), *map(document._own, document._OWN)]
    assert len(scripts) == 6
    for script in scripts:
        assert not re.search(r"</script|<!--|sourceMappingURL|\r", script, flags=re.IGNORECASE)
        assert not re.search(r"^(import|export) ", script, flags=re.MULTILINE)
    assert "vega.expressionInterpreter = " in scripts[2]


def test_the_pages_own_scripts_never_make_html_of_text() -> None:
    for name in document._OWN:
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", document._own(name))
