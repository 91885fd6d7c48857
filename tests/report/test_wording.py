"""How runs of some blocks are worded."""

import pytest

from ripplestats.hypotheses.claims import CLAIMS
from ripplestats.report.wording import covariates_in_words, mean_blocks, mean_over, untested


@pytest.mark.parametrize(
    ("layers", "blocks", "overall"),
    [
        (range(6), "all blocks but the first", "mean over all blocks but the first"),
        (range(1, 6), "all blocks but the first", "mean over all blocks but the first"),
        ([0, 1, 2, 4], "blocks 1–2, 4", "mean over blocks 1–2, 4"),
        ([1, 3, 4, 5], "blocks 1, 3–5", "mean over blocks 1, 3–5"),
        ([0, 5], "block 5", "block 5"),
        ([0], "block 0", "block 0"),
    ],
)
def test_the_blocks_of_overall_rows_are_named(layers: list[int], blocks: str, overall: str) -> None:
    manifest = {"model": {"n_layers": 6}, "definition": {"layers": list(layers)}}
    assert mean_blocks(manifest) == blocks
    assert mean_over(blocks) == overall


def test_a_run_that_does_not_say_is_taken_for_whole() -> None:
    assert mean_blocks({"model": {}, "definition": {}}) == "all blocks but the first"


def test_in_a_model_of_two_blocks_the_second_is_all_but_the_first() -> None:
    assert mean_blocks({"model": {"n_layers": 2}, "definition": {"layers": [0, 1]}}) == "all blocks but the first"


def test_what_was_not_tested_is_said_with_what_it_needs() -> None:
    (said,) = untested(name for name in CLAIMS if name[0] != "6")
    assert said == "Claim 6 was not tested: it needs another replacement, zero or mean, beside the median."
    assert untested(CLAIMS) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("plateau: clean_logprob", "plateau: clean log-probability"),
        ("slope: target_kind[number or sign]", "slope: kind of target [number or sign]"),
        ("core: kind (any)", "core: kind of prompt (any)"),
        ("kind: against 'nature' [sic] (19 prompts).", "kind of prompt: against 'nature' [sic] (19 prompts)."),
        ("plateau: a kind of mine", "plateau: a kind of mine"),
    ],
)
def test_covariates_are_named_in_words_where_they_are_ours(text: str, words: str) -> None:
    assert covariates_in_words(text) == words
