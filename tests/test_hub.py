"""The hub as the normal path, and what happens without it: whole command lines against a hub on the loopback."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import transformers
from huggingface_hub import constants
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from ripplestats import hub as hub_module
from ripplestats.model.load import Model
from ripplestats.prompts.sampling import SHUFFLE_BUFFER
from tests.hub_server import HANG_UP, SHA, Hub, Request, serving
from tests.tiny import save_tiny_model, tiny_text

REPOSITORY = Path(__file__).parents[1]
SMALL = ["--prompts", "12", "--context", "6", "--rates", "10,20,40,60,90", "--bootstrap", "100"]
#: A hub that cannot be reached must be known by then, from the start of the process.
SECONDS_TO_FALL_BACK = 5.0
#: No attempt to be patient: the hub client's and ``datasets``' pauses between retries take minutes.
WITHOUT_PAUSES = "import sys, time; time.sleep = lambda _: None; from ripplestats.run import main; sys.exit(main())"
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


def wikitext_lines(titles: list[str], rng: np.random.Generator) -> list[str]:
    """Lines as the hub's WikiText has them: a title, then sections and paragraphs, blank lines between."""
    pool = [f" {text} \n" for text in tiny_text(50, 60, int(rng.integers(1 << 30)))]
    drawn = rng.integers(len(pool), size=(len(titles), 4))
    lines = []
    for title, (a, b, c, d) in zip(titles, drawn.tolist(), strict=True):
        lines += ["", f" = {title} = \n", "", pool[a], " = = History = = \n", "", pool[b], " = = = w1 = = = \n", "", pool[c], pool[d]]
    return lines


@pytest.fixture(scope="module")
def wikitext_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two files of some 12 MB, each of many row groups, where the client reads blocks of 5 MB."""
    folder = tmp_path_factory.mktemp("wikitext")
    (folder / "README.md").write_text(_CARD)
    rng = np.random.default_rng(0)
    for config, n_files, size in (("wikitext-103-raw-v1", 2, 15_000), ("wikitext-2-raw-v1", 1, 600)):
        (folder / config).mkdir()
        for number in range(n_files):
            lines = wikitext_lines([f"Article {number} {i}" for i in range(size)], rng)
            file = folder / config / f"train-{number:05d}-of-{n_files:05d}.parquet"
            pq.write_table(pa.table({"text": lines}), file, row_group_size=1000, compression="none", use_dictionary=False)
    return folder


@pytest.fixture(scope="module")
def rows_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset without a card, in two files that the shuffle buffer needs both of."""
    folder = tmp_path_factory.mktemp("rows")
    half = SHUFFLE_BUFFER // 2 + 50
    for number in range(2):
        table = pa.table({"title": [f"{number} {i}" for i in range(half)], "text": tiny_text(half, 20, number)})
        pq.write_table(table, folder / f"train-{number:05d}-of-00002.parquet")
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
    tokenizer.train_from_iterator((REPOSITORY / "data" / "passages.jsonl").read_text().splitlines()[:40], trainer)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|endoftext|>", eos_token="<|endoftext|>"
    ).save_pretrained(folder)
    config = transformers.GPT2Config(
        vocab_size=tokenizer.get_vocab_size(), n_embd=32, n_layer=2, n_head=4, n_positions=64, bos_token_id=0,
        eos_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


@pytest.fixture
def hub(wikitext_folder: Path, rows_folder: Path, tiny_folder: Path, pickled_folder: Path) -> Iterator[Hub]:
    models_served = {"tiny-owner/tiny-gpt2": tiny_folder, "gpt2-large": tiny_folder, "tiny-owner/pickled": pickled_folder}
    datasets_served = {"Salesforce/wikitext": wikitext_folder, "tiny-owner/rows": rows_folder}
    with serving(Hub(models_served, datasets_served)) as served:
        yield served


@pytest.fixture(scope="module")
def no_hub() -> str:
    """An address of the loopback interface at which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def environment(endpoint: str, home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING", "TRANSFORMERS_"))}
    # Tiny matrices are slower on two threads than on one.
    return {**kept, "HF_ENDPOINT": endpoint, "HF_HOME": str(home), "OMP_NUM_THREADS": "1"}


def started(command: list[str], endpoint: str, home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *command], env=environment(endpoint, home), cwd=REPOSITORY, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def done(command: list[str], endpoint: str, home: Path) -> subprocess.CompletedProcess[str]:
    process = started(command, endpoint, home)
    out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def command_line(*arguments: str | Path) -> list[str]:
    return ["-m", "ripplestats.run", *map(str, arguments)]


def python(code: str, endpoint: str, home: Path) -> Any:
    """What a piece of Python prints as JSON, in a process of its own."""
    found = done(["-c", code], endpoint, home)
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


def complaint(process: subprocess.CompletedProcess[str]) -> str:
    """The one line on stderr that says what is wrong, after lines that say what was done before."""
    assert "Traceback" not in process.stderr, process.stderr
    lines = [line for line in process.stderr.splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith("ripplestats: reading ")]
    assert len(said) == 1, process.stderr
    assert said[0].startswith("ripplestats: ")
    assert process.stdout == ""
    return said[0]


def test_the_main_job_streams_wikitext_and_a_model_from_the_hub(hub: Hub, tmp_path: Path, wikitext_folder: Path) -> None:
    out = tmp_path / "run"
    arguments = command_line("--dataset", "wikitext", "--model", "tiny-owner/tiny-gpt2", *SMALL, "--out", out)
    process = done(arguments, hub.url, tmp_path / "home")
    assert process.returncode == 0, process.stderr
    manifest = json.loads((out / "manifest.json").read_text())
    dataset, model = manifest["dataset"], manifest["model"]
    assert dataset["requested"] == "wikitext"
    assert dataset["used"] == "Salesforce/wikitext:wikitext-103-raw-v1:train"
    assert dataset["revision"] == SHA
    assert dataset["fallback"] == ""
    assert (dataset["n_prompts"], dataset["n_documents"]) == (12, 12)
    assert (model["requested"], model["used"]) == ("tiny-owner/tiny-gpt2", "tiny-owner/tiny-gpt2")
    assert (model["revision"], model["fallback"]) == (SHA, "")
    assert manifest["completeness"] == {"complete": True, "prompts_done": 12, "prompts": 12}

    titles = pq.read_table(out / "prompts.parquet").column("document_title").to_pylist()
    assert len(set(titles)) == 12
    assert all(title.startswith("Article 0 ") for title in titles), "articles, not sections, from the first file"
    assert max(int(title.split()[-1]) for title in titles) < SHUFFLE_BUFFER + 12

    first = wikitext_folder / "wikitext-103-raw-v1" / "train-00000-of-00002.parquet"
    assert first.stat().st_size > 12_000_000
    assert 0 < hub.sent("train-00000-of-00002.parquet") < 0.6 * first.stat().st_size, "only the beginning is fetched"
    assert hub.sent("train-00001-of-00002.parquet") == 0
    assert "Salesforce/wikitext:wikitext-103-raw-v1:train" in process.stdout
    assert "was NOT used" not in process.stderr


_DRAW = """
import json
from ripplestats.prompts.sampling import load_prompts
from tests.tiny import tiny_tokenizer
table = load_prompts({name!r}, 9, 6, tokenizer=tiny_tokenizer(), fallback=False)
origin = table.provenance
print(json.dumps([origin.used, origin.revision, origin.fallback, [row.document_title for row in table]]))
"""


@pytest.mark.parametrize(
    ("name", "used"),
    [
        ("wikitext-2", "Salesforce/wikitext:wikitext-2-raw-v1:train"),
        ("tiny-owner/rows", "tiny-owner/rows:train"),
        ("tiny-owner/rows:default:train", "tiny-owner/rows:default:train"),
    ],
)
def test_other_hub_datasets_are_streamed_and_named(hub: Hub, tmp_path: Path, name: str, used: str) -> None:
    found, revision, fallback, titles = python(_DRAW.format(name=name), hub.url, tmp_path)
    assert (found, revision, fallback) == (used, SHA, "")
    assert len(set(titles)) == 9


_LOAD = """
import json
from ripplestats.model.load import load_model
model = load_model({name!r}, fallback=False)
print(json.dumps([model.used, model.revision, model.fallback, model.n_layers, model.weights_sha256]))
"""


def test_a_hub_model_is_loaded_and_then_found_in_the_cache_without_the_hub(
    hub: Hub, no_hub: str, tmp_path: Path
) -> None:
    found = python(_LOAD.format(name="gpt2-large"), hub.url, tmp_path)
    assert found[:4] == ["gpt2-large", SHA, "", 3]
    assert hub.sent("model.safetensors") > 0
    assert python(_LOAD.format(name="gpt2-large"), no_hub, tmp_path) == found


def test_a_cached_dataset_is_used_without_the_hub(hub: Hub, no_hub: str, tmp_path: Path) -> None:
    download = 'import datasets; datasets.load_dataset("tiny-owner/rows", split="train"); print(1)'
    python(download, hub.url, tmp_path)
    used, revision, fallback, titles = python(_DRAW.format(name="tiny-owner/rows"), no_hub, tmp_path)
    assert (used, fallback) == ("tiny-owner/rows:train", "")
    assert revision.startswith("cached:")
    assert len(set(titles)) == 9


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--dataset", "nobody/nothing"], "--dataset 'nobody/nothing' does not exist on the hub"),
        (["--dataset", "Salesforce/wikitext:no-such-config"], "no-such-config"),
        (["--dataset", "Salesforce/wikitext:wikitext-2-raw-v1:no-such-split"], "no-such-split"),
        (["--dataset", "tiny-owner/rows", "--text-column", "body"], "no column 'body'"),
        (["--dataset", "a/b/c"], "owner/name"),
        (["--model", "nobody/nothing"], "--model 'nobody/nothing' does not exist on the hub"),
        (["--model", "no such model!"], "--model 'no such model!' does not exist on the hub"),
        (["--model", "gpt2-large", "--revision", "no-such-branch"], "at revision 'no-such-branch' does not exist"),
        (["--model", "tiny-owner/pickled"], "no .safetensors weights"),
    ],
)
def test_a_name_that_a_reachable_hub_does_not_have_exits_2_with_one_line(
    hub: Hub, tmp_path: Path, tiny_folder: Path, arguments: list[str], named: str
) -> None:
    defaults = ["--dataset", "passages", "--model", str(tiny_folder), "--out", str(tmp_path / "run")]
    process = done(command_line(*defaults, *arguments), hub.url, tmp_path / "home")
    assert process.returncode == 2, process.stderr
    assert named in complaint(process)
    assert not (tmp_path / "run").exists()


def failing(ending: str, status: int) -> Any:
    """A fault: every download of files with this ending gets the status."""

    def fault(method: str, path: str, _before: list[Request]) -> int | None:
        return status if method == "GET" and path.endswith(ending) else None

    return fault


@pytest.mark.parametrize("status", [500, 503, HANG_UP])
def test_a_hub_that_fails_in_the_middle_of_streaming_exits_3_with_one_line(
    hub: Hub, tmp_path: Path, tiny_folder: Path, status: int
) -> None:
    hub.fault = failing("train-00001-of-00002.parquet", status)
    options = ["--dataset", "tiny-owner/rows", "--model", str(tiny_folder), *SMALL, "--out", str(tmp_path / "run")]
    process = done(["-c", WITHOUT_PAUSES, *options], hub.url, tmp_path / "home")
    assert hub.sent("train-00000-of-00002.parquet") > 0, "the first file was read"
    assert process.returncode == 3, process.stderr
    assert "tiny-owner/rows" in process.stderr.splitlines()[-1]
    assert "Traceback" not in process.stderr


@pytest.mark.parametrize("status", [500, HANG_UP])
def test_a_hub_that_fails_in_the_middle_of_a_models_weights_exits_3_with_one_line(
    hub: Hub, tmp_path: Path, status: int
) -> None:
    hub.fault = failing("model.safetensors", status)
    options = ["--dataset", "passages", "--model", "gpt2-large", *SMALL, "--out", str(tmp_path / "run")]
    process = done(["-c", WITHOUT_PAUSES, *options], hub.url, tmp_path / "home")
    assert hub.sent("config.json") > 0
    assert process.returncode == 3, process.stderr
    assert "gpt2-large" in process.stderr.splitlines()[-1]
    assert "Traceback" not in process.stderr


def test_without_a_hub_the_embedded_passages_stand_in_and_are_named_everywhere(
    no_hub: str, tmp_path: Path, english_folder: Path
) -> None:
    out = tmp_path / "run"
    began = time.monotonic()
    process = started(
        command_line("--dataset", "wikitext", "--model", english_folder, *SMALL, "--out", out), no_hub, tmp_path / "home"
    )
    lines = []
    for line in process.stderr:
        lines.append(line)
        if "was NOT used" in line:
            break
    waited = time.monotonic() - began
    stdout, rest = process.communicate(timeout=120)
    stderr = "".join(lines) + rest
    assert process.returncode == 0, stderr
    assert "--dataset wikitext was NOT used: the hub cannot be reached" in stderr
    assert "'passages' takes its place" in stderr
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


@pytest.mark.parametrize("option", ["--dataset", "--model"])
def test_without_a_hub_no_fallback_exits_3_with_one_line(
    no_hub: str, tmp_path: Path, tiny_folder: Path, option: str
) -> None:
    options = {"--dataset": "passages", "--model": str(tiny_folder), option: {"--dataset": "wikitext", "--model": "gpt2-large"}[option]}
    arguments = [word for pair in options.items() for word in pair]
    process = done(command_line(*arguments, "--no-fallback", "--out", tmp_path / "run"), no_hub, tmp_path / "home")
    assert process.returncode == 3, process.stderr
    assert "the hub cannot be reached" in complaint(process)
    assert not (tmp_path / "run").exists()


@pytest.mark.embedded_model
def test_without_a_hub_the_embedded_model_stands_in_and_is_named(
    no_hub: str, tmp_path: Path, embedded_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "assets").symlink_to(constants.HF_ASSETS_CACHE)
    code = _LOAD.replace("fallback=False", "layers=None").replace(", layers=None", "")
    used, revision, fallback, n_layers, weights = python(code.format(name="gpt2-large"), no_hub, home)
    assert (used, n_layers) == ("smollm2-135m", embedded_model.n_layers)
    assert revision == embedded_model.revision
    assert "the hub cannot be reached and 'gpt2-large' is not in its cache" in fallback
    assert weights == embedded_model.weights_sha256


@pytest.mark.parametrize(
    ("status", "there"), [(200, True), (301, True), (404, True), (405, True), (403, False), (407, False), (500, False), (503, False)]
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


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:1", "not an address", "http://host.invalid"])
def test_an_address_at_which_nothing_answers_is_not_reachable(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    assert not hub_module.reachable(timeout=1.0)
