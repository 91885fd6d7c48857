"""The hub as the normal path, and what happens without it: command lines against a hub on the loopback interface."""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import transformers
from huggingface_hub import constants
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from ripplestats import hub as hub_module
from ripplestats.model.load import Model, load_model
from ripplestats.prompts.sampling import SHUFFLE_BUFFER
from tests.hub_server import HANG_UP, SHA, Hub, serving
from tests.tiny import tiny_text

pytestmark = pytest.mark.long

CHECKOUT = Path(__file__).parents[1]
SMALL = ["--prompts", "12", "--context", "6", "--rates", "10,20,40,60,90", "--bootstrap", "100"]
#: That the hub cannot be reached must be known by then, from the start of the process, on a machine that others use as
#: well; the libraries' own retries would take minutes.
SECONDS_TO_FALL_BACK = 20.0
#: A dataset and a model of each of these names answer every download of their last file with that failure.
FAILURES = {"fails-500": 500, "fails-503": 503, "hangs-up": HANG_UP}
#: The module as `python -m` runs it, its last stage left out, and no prompt drawn before a file says that it may be.
WITH_BYTES_ON_THEIR_WAY = """
import pathlib, runpy, sys, time
from ripplestats import pipeline
from ripplestats.prompts import sampling

go, late, draw = pathlib.Path(sys.argv.pop(1)), time.monotonic() + 10, sampling.windows

def draw_later(*given):
    while not go.exists() and time.monotonic() < late:
        time.sleep(0.01)
    return draw(*given)

sampling.windows = draw_later
pipeline.analyse = lambda *_, **__: "swept"
runpy.run_module("ripplestats.run", run_name="__main__")
"""
WIKITEXT_FILE = "wikitext-103-raw-v1/train-{:05d}-of-00002.parquet"
_CARD = """---
configs:
- config_name: wikitext-103-raw-v1
  data_files:
  - split: train
    path: wikitext-103-raw-v1/train-*
- config_name: wikitext-2-raw-v1
  data_files:
  - split: train
    path: wikitext-2-raw-v1/train-*
---
"""


@pytest.fixture(autouse=True)
def asked_anew() -> None:
    """Forget earlier answers: a port may be given out twice."""
    hub_module._answers.cache_clear()


def write_parquet(file: Path, columns: dict[str, list[str]], rows: int) -> None:
    """Write plain strings in row groups of so many rows."""
    file.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), file, row_group_size=rows, compression="none", use_dictionary=False)


def wikitext_lines(name: str, n_articles: int) -> list[str]:
    """Lines as the hub's WikiText has them: titles, sections, paragraphs, and empty lines between."""
    pool = [f" {text} \n" for text in tiny_text(50, 40)]
    drawn = np.random.default_rng(0).integers(len(pool), size=(n_articles, 4)).tolist()
    lines = []
    for number, (a, b, c, d) in enumerate(drawn):
        lines += ["", f" = {name} {number} = \n", "", pool[a], "", " = = History = = \n", "", pool[b], pool[c]]
        lines += ["", " = = = w1 = = = \n", "", pool[d]]
    return lines


@pytest.fixture(scope="module")
def wikitext_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """WikiText-shaped files of many row groups; the first holds more articles than the shuffle buffer."""
    folder = tmp_path_factory.mktemp("wikitext")
    (folder / "README.md").write_text(_CARD)
    for number in range(2):
        lines = wikitext_lines(f"File {number} article", 4 * SHUFFLE_BUFFER)
        write_parquet(folder / WIKITEXT_FILE.format(number), {"text": lines}, 1000)
    write_parquet(
        folder / "wikitext-2-raw-v1" / "train-00000-of-00001.parquet", {"text": wikitext_lines("Two", 40)}, 100
    )
    return folder


@pytest.fixture(scope="module")
def rows_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset without a card, in two files that the shuffle buffer needs both of."""
    folder = tmp_path_factory.mktemp("rows")
    half = SHUFFLE_BUFFER // 2 + 50
    for number in range(2):
        columns = {"title": [f"{number} {i}" for i in range(half)], "text": tiny_text(half, 20, number)}
        write_parquet(folder / f"train-{number:05d}-of-00002.parquet", columns, 100)
    return folder


@pytest.fixture(scope="module")
def long_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of one file with more bytes than the parquet reader asks for at once."""
    folder = tmp_path_factory.mktemp("long")
    pool = tiny_text(50, 1500)
    write_parquet(folder / "train.parquet", {"text": [pool[number % 50] for number in range(6000)]}, 600)
    return folder


@pytest.fixture(scope="module")
def pickled_folder(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Path:
    folder = tmp_path_factory.mktemp("pickled")
    (folder / "config.json").write_bytes((tiny_folder / "config.json").read_bytes())
    torch.save({}, folder / "pytorch_model.bin")
    return folder


@pytest.fixture(scope="module")
def english_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny GPT-2 whose byte-level tokenizer reads English."""
    folder = tmp_path_factory.mktemp("models") / "english"
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<|endoftext|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator((CHECKOUT / "data" / "passages.jsonl").read_text().splitlines()[:40], trainer)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|endoftext|>", eos_token="<|endoftext|>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=tokenizer.get_vocab_size(), n_embd=32, n_layer=2, n_head=4, n_positions=64, bos_token_id=0,
        eos_token_id=0,
    )  # fmt: skip
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def hub(
    wikitext_folder: Path, rows_folder: Path, long_folder: Path, tiny_folder: Path, pickled_folder: Path
) -> Iterator[Hub]:
    served_models = {
        "tiny-owner/tiny-gpt2": tiny_folder,
        "gpt2-large": tiny_folder,
        "tiny-owner/pickled": pickled_folder,
    }
    served_datasets = {
        "Salesforce/wikitext": wikitext_folder, "tiny-owner/rows": rows_folder, "tiny-owner/long": long_folder,
    }  # fmt: skip
    for name in FAILURES:
        served_models[f"tiny-owner/{name}"] = tiny_folder
        served_datasets[f"tiny-owner/{name}"] = rows_folder
    with serving(Hub(served_models, served_datasets, fault=_planned_failures)) as served:
        yield served


def _planned_failures(method: str, path: str, _first: int) -> int | None:
    if method == "GET" and path.endswith(("train-00001-of-00002.parquet", "model.safetensors")):
        return next((status for name, status in FAILURES.items() if f"tiny-owner/{name}/" in path), None)
    return None


@pytest.fixture(scope="module")
def no_hub() -> str:
    """An address of the loopback interface at which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that is filled from the hub first and used without it then."""
    return tmp_path_factory.mktemp("home")


def start(
    command: list[str], endpoint: str, home: Path, stderr: IO[str] | int = subprocess.PIPE
) -> subprocess.Popen[str]:
    """Start Python with a hub and a cache of its own."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING", "TRANSFORMERS_"))
    }
    # Tiny matrices are slower on two threads than on one.
    told = {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, *command], env=kept | told, cwd=CHECKOUT, text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=stderr,
    )  # fmt: skip


def answers(
    jobs: dict[str, list[Any]], endpoint: str, home: Path, answered: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Do the jobs of tests/hub_jobs.py in one process; options go last, as a dict.

    ``answered`` is told the name of each job before the next begins.
    """
    found = {}
    with tempfile.TemporaryFile("w+") as said, start(["-m", "tests.hub_jobs"], endpoint, home, said) as process:
        too_long = threading.Timer(300, process.kill)
        too_long.start()
        try:
            for name, (kind, *words) in jobs.items():
                options = words.pop() if isinstance(words[-1], dict) else {}
                print(json.dumps([kind, words, options]), file=process.stdin, flush=True)
                if not (line := process.stdout.readline()):
                    said.seek(0)
                    raise AssertionError(said.read())
                found[name] = json.loads(line)
                answered(name)
            process.stdin.close()
            assert process.wait() == 0
        finally:
            too_long.cancel()
    return found


#: Command lines whose hub name does not exist, and words of the complaint.
WRONG_NAMES = {
    "dataset": (["--dataset", "nobody/nothing"], "--dataset 'nobody/nothing' does not exist on the hub"),
    "config": (["--dataset", "Salesforce/wikitext:no-such-config"], "no-such-config"),
    "split": (["--dataset", "Salesforce/wikitext:wikitext-2-raw-v1:no-such-split"], "no-such-split"),
    "column": (["--dataset", "tiny-owner/rows", "--text-column", "body"], "no column 'body'"),
    "three parts": (["--dataset", "a/b/c"], "owner/name"),
    "model": (["--model", "nobody/nothing"], "--model 'nobody/nothing' does not exist on the hub"),
    "not a name": (["--model", "no such model!"], "--model 'no such model!' does not exist on the hub"),
    "revision": (["--model", "gpt2-large", "--revision", "old"], "at revision 'old' does not exist on the hub"),
    "pickle": (["--model", "tiny-owner/pickled"], "no .safetensors weights"),
}
USED = {
    "wikitext": "Salesforce/wikitext:wikitext-103-raw-v1:train",
    "wikitext-2": "Salesforce/wikitext:wikitext-2-raw-v1:train",
    "tiny-owner/rows": "tiny-owner/rows:train",
    "tiny-owner/rows:default:train": "tiny-owner/rows:default:train",
}


@pytest.fixture(scope="module")
def with_hub(hub: Hub, home: Path, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The answers to all jobs that a reachable hub is needed for, and the bytes that the main job took of WikiText."""
    out, run = (str(tmp_path_factory.mktemp(name) / "run") for name in ("nowhere", "streamed"))
    usual = ["--dataset", "passages", "--model", str(tiny_folder), *SMALL, "--out", out]
    main_job = ["--dataset", "wikitext", "--model", "tiny-owner/tiny-gpt2", *SMALL, "--out", run]
    jobs: dict[str, list[Any]] = {"main job": ["main", *main_job]}
    jobs |= {f"wrong {name}": ["main", *usual, *arguments] for name, (arguments, _) in WRONG_NAMES.items()}
    jobs |= {f"dataset {name}": ["main", *usual, "--dataset", f"tiny-owner/{name}"] for name in FAILURES}
    jobs |= {f"model {name}": ["main", *usual, "--model", f"tiny-owner/{name}"] for name in FAILURES}
    jobs |= {f"draw {name}": ["draw", name, {"fallback": False}] for name in USED}
    jobs["load gpt2-large"] = ["load", "gpt2-large", {"fallback": False}]
    jobs["download"] = ["download", "tiny-owner/rows"]
    sent: dict[str, list[int]] = {}

    def answered(name: str) -> None:
        sent[name] = [hub.sent(WIKITEXT_FILE.format(number)) for number in range(2)]

    found = answers(jobs, hub.url, home, answered)
    return {"out": out, "run": run, "sent": sent["main job"], **found}


@pytest.fixture(scope="module")
def without_hub(
    with_hub: dict[str, Any], no_hub: str, home: Path, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """The answers without a hub, the cache filled by the jobs before."""
    out = str(tmp_path_factory.mktemp("nowhere") / "run")
    usual = ["--dataset", "passages", "--model", str(tiny_folder), *SMALL, "--out", out, "--no-fallback"]
    jobs = {
        "no-fallback dataset": ["main", *usual, "--dataset", "wikitext"],
        "no-fallback model": ["main", *usual, "--model", "tiny-owner/never-seen"],
        "load gpt2-large": ["load", "gpt2-large", {"fallback": False}],
        "draw tiny-owner/rows": ["draw", "tiny-owner/rows", {"fallback": False}],
    }
    return answers(jobs, no_hub, home)


def complaint(answer: dict[str, Any], code: int) -> str:
    """The one line that says what is wrong, after lines that say what was done before."""
    assert answer["code"] == code, answer["stderr"]
    told = re.compile(r"ripplestats: (reading |the hub failed \(.*\); |.* s, try \d of \d \()")
    lines = [line for line in answer["stderr"].splitlines() if not told.match(line)]
    assert len(lines) == 1, answer["stderr"]
    assert lines[0].startswith("ripplestats: ")
    assert answer["stdout"] == ""
    return lines[0]


def test_the_main_job_streams_wikitext_and_a_model_from_the_hub(
    with_hub: dict[str, Any], wikitext_folder: Path
) -> None:
    job, run = with_hub["main job"], Path(with_hub["run"])
    assert job["code"] == 0, job["stderr"]
    manifest = json.loads((run / "manifest.json").read_text())
    dataset, model = manifest["dataset"], manifest["model"]
    assert (dataset["requested"], dataset["used"]) == ("wikitext", "Salesforce/wikitext:wikitext-103-raw-v1:train")
    assert (dataset["revision"], dataset["fallback"]) == (SHA, "")
    assert (dataset["n_prompts"], dataset["n_documents"]) == (12, 12)
    assert (model["requested"], model["used"]) == ("tiny-owner/tiny-gpt2", "tiny-owner/tiny-gpt2")
    assert (model["revision"], model["fallback"]) == (SHA, "")
    assert manifest["completeness"] == {"complete": True, "prompts_done": 12, "prompts": 12}
    assert "Salesforce/wikitext:wikitext-103-raw-v1:train" in job["stdout"]
    assert "was NOT used" not in job["stderr"]

    titles = pq.read_table(run / "prompts.parquet").column("document_title").to_pylist()
    assert len(set(titles)) == 12
    assert all(title.startswith("File 0 article ") for title in titles), "articles, not sections, of the first file"
    assert max(int(title.split()[-1]) for title in titles) < SHUFFLE_BUFFER + 12

    whole = sum((wikitext_folder / WIKITEXT_FILE.format(number)).stat().st_size for number in range(2))
    first, second = with_hub["sent"]
    assert 0 < first < 0.6 * whole, "not all of the dataset is fetched"
    assert second == 0


@pytest.mark.parametrize("name", USED)
def test_a_hub_dataset_is_streamed_and_named_with_its_commit(with_hub: dict[str, Any], name: str) -> None:
    drawn = with_hub[f"draw {name}"]
    assert (drawn["used"], drawn["revision"], drawn["fallback"]) == (USED[name], SHA, "")
    assert len(set(drawn["titles"])) == 9


def test_a_hub_model_without_an_owner_is_loaded_and_then_found_in_the_cache(
    with_hub: dict[str, Any], without_hub: dict[str, Any]
) -> None:
    loaded = with_hub["load gpt2-large"]
    assert loaded | {"weights": ""} == {
        "used": "gpt2-large",
        "revision": SHA,
        "fallback": "",
        "layers": 3,
        "weights": "",
    }
    assert without_hub["load gpt2-large"] == loaded


def test_a_dataset_in_the_cache_is_used_without_the_hub(without_hub: dict[str, Any]) -> None:
    drawn = without_hub["draw tiny-owner/rows"]
    assert (drawn["used"], drawn["fallback"]) == ("tiny-owner/rows:train", "")
    assert drawn["revision"].startswith("cached:")
    assert len(set(drawn["titles"])) == 9


@pytest.mark.parametrize("name", WRONG_NAMES)
def test_a_name_that_a_reachable_hub_does_not_have_exits_2_with_one_line(with_hub: dict[str, Any], name: str) -> None:
    assert WRONG_NAMES[name][1] in complaint(with_hub[f"wrong {name}"], 2)
    assert not Path(with_hub["out"]).exists()


@pytest.mark.parametrize("name", FAILURES)
def test_a_hub_that_fails_in_the_middle_of_streaming_exits_3_with_one_line(
    hub: Hub, with_hub: dict[str, Any], name: str
) -> None:
    assert hub.sent("train-00000-of-00002.parquet") > 0, "the first file was read"
    line = complaint(with_hub[f"dataset {name}"], 3)
    assert f"the hub failed while 'tiny-owner/{name}' was read" in line
    assert "the same command" in line


@pytest.mark.parametrize("name", FAILURES)
def test_a_hub_that_fails_in_the_middle_of_a_models_files_exits_3_with_one_line(
    with_hub: dict[str, Any], name: str
) -> None:
    assert f"--model 'tiny-owner/{name}': the hub failed" in complaint(with_hub[f"model {name}"], 3)


def test_bytes_still_on_their_way_at_the_end_do_not_change_the_exit_code(
    hub: Hub, tmp_path: Path, tiny_folder: Path, long_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pyarrow reads ahead in threads of its own; on a slow line they are still waiting when the command is done."""
    size = (long_folder / "train.parquet").stat().st_size
    go, ended = tmp_path / "go", threading.Event()

    def slow(_method: str, path: str, first: int) -> None:
        # The footer is at the end of the file, the prompts are at its beginning.
        if path.endswith("train.parquet") and size // 4 < first < size - (1 << 20):
            go.touch()
            ended.wait(60)

    monkeypatch.setattr(hub, "fault", slow)
    options = ["--dataset", "tiny-owner/long", "--model", str(tiny_folder), *SMALL, "--out", str(tmp_path / "run")]
    process = start(["-c", WITH_BYTES_ON_THEIR_WAY, str(go), *options], hub.url, tmp_path / "home")
    try:
        stdout, stderr = process.communicate(timeout=60)
    finally:
        ended.set()
    assert stdout.strip() == "swept", stderr
    assert process.returncode == 0, stderr


def test_without_a_hub_the_embedded_passages_stand_in_and_are_named_everywhere(
    no_hub: str, tmp_path: Path, english_folder: Path
) -> None:
    out = tmp_path / "run"
    command = ["-m", "ripplestats.run", "--dataset", "wikitext", "--model", str(english_folder), *SMALL]
    began = time.monotonic()
    process = start([*command, "--layers", "1", "--out", str(out)], no_hub, tmp_path / "home")
    with process:
        lines = [process.stderr.readline()]
        while lines[-1] and "was NOT used" not in lines[-1]:
            lines.append(process.stderr.readline())
        waited = time.monotonic() - began
        stderr = "".join(lines) + process.stderr.read()
        stdout = process.stdout.read()
    assert process.returncode == 0, stderr
    assert "--dataset wikitext was NOT used: the hub cannot be reached" in stderr
    assert "The embedded 'passages' takes its place" in stderr
    assert waited < SECONDS_TO_FALL_BACK

    dataset = json.loads((out / "manifest.json").read_text())["dataset"]
    assert (dataset["requested"], dataset["used"]) == ("wikitext", "passages")
    assert "cannot be reached" in dataset["fallback"]
    said = "dataset passages (not wikitext: the hub could not be reached)"
    assert said in stdout
    tables = sorted((out / "tables").glob("*.tex"))
    assert tables
    for table in tables:
        assert said in table.read_text(), f"{table.name} does not say what was used"


def test_without_a_hub_no_fallback_exits_3_with_one_line(without_hub: dict[str, Any]) -> None:
    for what in ("dataset", "model"):
        assert "the hub cannot be reached" in complaint(without_hub[f"no-fallback {what}"], 3)


@pytest.mark.embedded_model
def test_without_a_hub_the_embedded_model_stands_in_and_is_named(
    embedded_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "reachable", lambda: False)
    model = load_model("tiny-owner/never-seen")
    assert (model.requested, model.used) == ("tiny-owner/never-seen", "smollm2-135m")
    assert (model.revision, model.weights_sha256) == (embedded_model.revision, embedded_model.weights_sha256)
    assert model.fallback == "the hub cannot be reached and 'tiny-owner/never-seen' is not in its cache"


@pytest.mark.parametrize(
    ("status", "there"),
    [(200, True), (301, True), (404, True), (405, True), (403, False), (407, False), (500, False), (503, False)],
)
def test_a_hub_is_reachable_unless_it_is_down_or_a_proxy_forbids_it(
    monkeypatch: pytest.MonkeyPatch, status: int, there: bool
) -> None:
    with serving(Hub(fault=lambda *_: None if status == 200 else status)) as served:
        monkeypatch.setattr(constants, "ENDPOINT", served.url)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        assert hub_module.reachable() is there
        assert len(served.requests) == 1
        assert hub_module.reachable() is there
        assert len(served.requests) == 1, "the answer is kept"


def test_offline_mode_means_no_without_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Hub()) as served:
        monkeypatch.setattr(constants, "ENDPOINT", served.url)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        assert not hub_module.reachable()
        assert served.requests == []


def test_a_hub_that_never_answers_is_given_up_on_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        began = time.monotonic()
        assert not hub_module.reachable(timeout=0.2)
        assert time.monotonic() - began < 1.5
    assert hub_module.PROBE_SECONDS <= 3


def test_a_server_of_another_protocol_is_no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def greet() -> None:
            client, _ = other.accept()
            with client:
                client.sendall(b"SSH-2.0-OpenSSH_9.7\r\n")
                client.recv(1000)

        thread = threading.Thread(target=greet)
        thread.start()
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{other.getsockname()[1]}")
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        assert not hub_module.reachable(timeout=1.0)
        thread.join()


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:1", "not an address", "http://host.invalid"])
def test_an_address_at_which_nothing_answers_is_not_reachable(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    assert not hub_module.reachable(timeout=1.0)
