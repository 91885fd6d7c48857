"""The definition of a run: what of it stays when the run is grown."""

from ripplestats.execution.definition import beginning, definition, tokenizer_sha256
from tests.execution.test_shards import job
from tests.tiny import tiny_tokenizer


def test_the_beginning_of_a_run_is_the_run_of_its_first_prompts() -> None:
    assert beginning(job(20), 12) == definition(job(12))
    assert beginning(job(20), 12) != definition(job(20))


def test_with_donors_a_run_is_the_beginning_of_no_other() -> None:
    assert beginning(job(20, grid={"replacements": ("resample",)}), 12) == {}


def test_a_tokenizer_has_the_same_hash_before_and_after_it_is_used() -> None:
    tokenizer = tiny_tokenizer()
    before = tokenizer_sha256(tokenizer)
    tokenizer.backend_tokenizer.enable_truncation(2)
    assert tokenizer_sha256(tokenizer) == before
    tokenizer.add_tokens(["new"])
    assert tokenizer_sha256(tokenizer) != before
