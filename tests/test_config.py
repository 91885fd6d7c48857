"""The options of a run: defaults of the contract, numbers in range, a folder for every name."""

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ripplestats.arguments import parse_arguments
from ripplestats.config import RunConfig
from ripplestats.errors import InputError

#: The table of the design.
DEFAULTS = {
    "dataset": "wikitext", "model": "smollm2-135m", "prompts": 64, "context": 32, "per_document": 1, "rates": "seed",
    "arms": ("top", "random"), "replacement": ("median",), "site": ("pre",), "layers": "all", "device": "auto",
    "dtype": "float32", "engine": "auto", "seed": 0, "bootstrap": 2000, "fallback": True, "fit_only": False,
}  # fmt: skip
LEAST = {"prompts": 8, "context": 1, "per_document": 1, "batch_size": 1, "bootstrap": 100, "seed": 0}


def test_defaults_are_those_of_the_contract() -> None:
    config = RunConfig()
    assert {name: getattr(config, name) for name in DEFAULTS} == DEFAULTS
    assert config.folder == Path("runs/wikitext-smollm2-135m")


def test_no_flags_mean_the_defaults() -> None:
    assert parse_arguments([]) == RunConfig()


def test_every_flag_arrives_under_its_name() -> None:
    words = (
        "--dataset d --model m --prompts 9 --context 3 --per-document 2 --rates 1,2 --arms top keep_top --replacement zero"
        " mean --site post --layers 1-2 --device cpu --dtype float64 --engine hooks --batch-size 5 --seed 4 --bootstrap 200"
        " --out o --no-fallback --fit-only --text-column t --revision r --neuron-modules n --until-width 2.5"
    )
    assert parse_arguments(words.split()) == RunConfig(
        dataset="d", model="m", prompts=9, context=3, per_document=2, rates="1,2", arms=("top", "keep_top"),
        replacement=("zero", "mean"), site=("post",), layers="1-2", device="cpu", dtype="float64", engine="hooks",
        batch_size=5, seed=4, bootstrap=200, out="o", fallback=False, fit_only=True, text_column="t", revision="r",
        neuron_modules="n", until_width=2.5,
    )  # fmt: skip


@pytest.mark.parametrize(("name", "least"), LEAST.items())
def test_numbers_below_the_least_are_refused_by_the_name_of_their_flag(name: str, least: int) -> None:
    flag = f"--{name.replace('_', '-')}"
    assert getattr(RunConfig(**{name: least}), name) == least
    with pytest.raises(InputError) as caught:
        RunConfig(**{name: least - 1})
    assert str(caught.value) == f"{flag} {least - 1} must be at least {least}"
    with pytest.raises(InputError, match=f"{flag} {least - 1} must be at least {least}"):
        parse_arguments([flag, str(least - 1)])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--unknown"], "unrecognized arguments: --unknown"),
        (["--prompt", "9"], "unrecognized arguments"),
        (["--prompts", "many"], "argument --prompts: invalid int value: 'many'"),
        (["--prompts", "8.5"], "argument --prompts: invalid int value: '8.5'"),
        (["--prompts"], "argument --prompts: expected one argument"),
        (["--arms"], "argument --arms: expected at least one argument"),
        (["word"], "unrecognized arguments: word"),
    ],
)
def test_what_cannot_be_read_is_one_line_that_points_to_the_help(words: list[str], said: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_arguments(words)
    line = str(caught.value)
    assert said in line
    assert line.endswith("; --help explains every flag")
    assert "\n" not in line


def test_options_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        RunConfig().seed = 1


@pytest.mark.parametrize(
    ("options", "folder"),
    [
        ({"out": "somewhere/else"}, "somewhere/else"),
        ({"dataset": "owner/name:config:split", "model": "gpt2-large"}, "runs/owner-name-config-split-gpt2-large"),
        ({"dataset": "passages", "model": "EleutherAI/pythia-70m"}, "runs/passages-EleutherAI-pythia-70m"),
        ({"dataset": "..", "model": "."}, "runs/run-run"),
        ({"dataset": "", "model": ""}, "runs/run-run"),
    ],
)
def test_the_folder_is_named_after_dataset_and_model_unless_told(options: dict, folder: str) -> None:
    assert RunConfig(**options).folder == Path(folder)


def test_files_and_folders_give_their_last_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "my notes.txt").touch()
    (tmp_path / "models").mkdir()
    monkeypatch.chdir(tmp_path)
    assert RunConfig(dataset="texts/my notes.txt", model="models").folder == Path("runs/my-notes-models")


@settings(derandomize=True, deadline=None)
@given(dataset=st.text(max_size=40), model=st.text(max_size=40))
def test_any_names_give_one_folder_below_runs(dataset: str, model: str) -> None:
    folder = RunConfig(dataset=dataset, model=model).folder
    assert len(folder.parts) == 2
    assert folder.parts[0] == "runs"
    assert not folder.name.startswith((".", "-"))


def test_a_name_too_long_for_a_file_is_still_a_name() -> None:
    assert RunConfig(dataset="x" * 300).folder.parts[0] == "runs"
