"""A run pushed to a hub on the loopback interface by the hub's own client, and read back."""

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from huggingface_hub import constants

from ripplestats import hub as hub_module
from ripplestats.errors import HubError, InputError, RunError
from ripplestats.run import main
from ripplestats.store import schema
from ripplestats.store.data_card import data_card
from ripplestats.store.export import push_to_hub
from ripplestats.store.run_directory import Run, open_run
from ripplestats.store.start import start_run
from tests.hub_server import Hub, serving
from tests.hub_uploads import TOKEN, Uploads
from tests.store.synthetic_run import make_run

NAME = "tiny-owner/pushed"
NOTHING = {"completeness": {"complete": False, "prompts_done": 0, "prompts": 0}}
#: The hub's client itself sends large files in a way that its HTTP library advises against.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = make_run(tmp_path_factory.mktemp("export") / "run", prompts=20, per_document=2)
    (run.path / "estimates.csv").write_text("quantity\nthreshold\n", encoding="utf-8")
    run.update(
        platform={"command": ["--dataset", "/home/somebody/secret.jsonl"]}, options={"out": "/home/somebody/runs"}
    )
    return run


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving(Hub(datasets={NAME: tmp_path / "pushed" / NAME}, uploads=Uploads(tmp_path / "pushed"))) as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        # The stand-in speaks the older protocol, which the client still falls back to.
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        hub_module._answers.cache_clear()
        yield hub
    hub_module._answers.cache_clear()


def test_a_run_is_pushed_and_what_is_there_is_a_run_again(run: Run, hub: Hub, tmp_path: Path) -> None:
    said: list[str] = []
    address = push_to_hub(run, NAME, private=True, say=said.append)
    assert address == f"{hub.url}/datasets/{NAME}"
    folder = tmp_path / "pushed" / NAME
    pushed = open_run(folder)
    pd.testing.assert_frame_equal(pushed.effects(), run.effects())
    pd.testing.assert_frame_equal(pushed.prompts(), run.prompts())
    assert pushed.estimates()["quantity"].tolist() == ["threshold"]
    assert said == [f"pushing to {NAME}: 7 of 7 files"]
    assert hub.uploads is not None
    assert hub.uploads.created[0]["visibility"] == "private"
    everything = b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
    assert b"somebody" not in everything, "paths of the machine stay there"


def test_a_second_push_sends_nothing_anew(run: Run, hub: Hub) -> None:
    push_to_hub(run, NAME)
    before = len([one for one in hub.requests if one.method == "PUT"])
    push_to_hub(run, NAME)
    assert before == 4
    assert len([one for one in hub.requests if one.method == "PUT"]) == before
    assert hub.uploads is not None
    assert len(hub.uploads.commits) == 1


def test_many_files_go_in_several_commits_the_card_in_the_last(
    run: Run, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ripplestats.store.export._FILES_PER_COMMIT", 3)
    push_to_hub(run, NAME)
    assert hub.uploads is not None
    assert [len(names) for names in hub.uploads.commits] == [3, 3, 1]
    assert hub.uploads.commits[-1] == ["README.md"]


def test_a_token_that_may_not_write_is_told_so(run: Run, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_may_read")
    with pytest.raises(HubError, match=rf"--push-to-hub {NAME}: the hub refuses \(403\)"):
        push_to_hub(run, NAME)


def test_without_a_token_the_way_to_one_is_named(run: Run, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(InputError, match="HF_TOKEN"):
        push_to_hub(run, NAME)
    assert not hub.requests


def test_a_hub_that_cannot_be_reached_is_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr("ripplestats.store.export.reachable", lambda: False)
    with pytest.raises(HubError, match="cannot be reached") as caught:
        push_to_hub(run, NAME)
    assert caught.value.exit_code == 3


def test_a_hub_that_fails_on_the_way_is_said(run: Run, hub: Hub) -> None:
    hub.fault = lambda method, _path, _first: 400 if method == "PUT" else None
    with pytest.raises(HubError, match="the hub failed") as caught:
        push_to_hub(run, NAME)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["alone", "a/b/c", "owner/", "owner/with space", "../etc"])
def test_a_name_that_is_none_is_refused(run: Run, name: str) -> None:
    with pytest.raises(InputError, match="owner/name"):
        push_to_hub(run, name)


def test_a_run_without_effects_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no effects"):
        push_to_hub(start_run(tmp_path / "run", {}, NOTHING, lambda _: None), NAME)


def test_the_card_explains_every_column(run: Run) -> None:
    card = data_card(run, NAME)
    for layout in (schema.EFFECTS, schema.PROMPTS):
        for column in layout:
            assert f"| `{column.name}` |" in card
    assert "| model | synthetic-model |" in card
    assert f'load_dataset("{NAME}", "effects", split="train")' in card
    assert "license:" not in card.split("---")[1]


def test_the_card_takes_names_for_text_alone(tmp_path: Path) -> None:
    nasty = 'x"\n---\nlicense: mit\n<script>alert(1)</script> | [click](http://x) `rm`'
    run = start_run(tmp_path / "run", {"model": "m", "dataset": nasty}, NOTHING, lambda _: None)
    front, _, body = data_card(run, NAME).removeprefix("---\n").partition("\n---\n")
    assert json.loads(front.splitlines()[0].removeprefix("pretty_name: ")).startswith(
        'ripplestats: m on x" --- license'
    )
    assert not any(line.startswith("license:") for line in front.splitlines())
    assert "<script>" not in body
    assert r"\| \[click\](http://x) \`rm\`" in body
    assert sum(line.startswith("| text |") for line in body.splitlines()) == 1


def test_the_command_line_refuses_a_push_that_cannot_succeed_before_anything_is_done(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    before = sorted(run.path.rglob("*"))
    assert main(["--fit-only", "--out", str(run.path), "--push-to-hub", NAME]) == 2
    assert capsys.readouterr().err.startswith("ripplestats: --push-to-hub needs a token")
    assert sorted(run.path.rglob("*")) == before


def test_the_command_line_pushes_at_the_end(
    run: Run, hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ripplestats.pipeline.analyse", lambda *_args, **_options: "the summary")
    assert main(["--fit-only", "--out", str(run.path), "--push-to-hub", NAME]) == 0
    said = capsys.readouterr()
    assert "the summary" in said.out
    assert f"pushed to {hub.url}/datasets/{NAME}" in said.err
