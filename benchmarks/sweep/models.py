"""The models and prompts of the benchmark, as plain folders and token numbers."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from ripplestats.model.embedded import embedded_folder

_TEXTS = Path(__file__).parents[2] / "data" / "passages.jsonl"
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


@dataclass(frozen=True)
class BenchmarkModel:
    """A model folder with the sizes that the count of operations needs."""

    name: str
    title: str
    folder: Path

    @property
    def config(self) -> Any:
        """Its configuration."""
        return transformers.AutoConfig.from_pretrained(self.folder, local_files_only=True)


def embedded() -> BenchmarkModel:
    """Return the embedded model, fetched and converted if it is not cached."""
    return BenchmarkModel("smollm2-135m", "SmolLM2-135M", embedded_folder("smollm2-135m", print))


def gpt2_large_shape(cache: Path) -> BenchmarkModel:
    """Return a model of GPT-2 Large's shape (36 blocks × 5,120 neurons), random weights of seed 0, made once."""
    folder = cache / "gpt2-large-shape"
    if not (folder / "model.safetensors").exists():
        torch.manual_seed(0)
        config = transformers.GPT2Config(n_embd=1280, n_layer=36, n_head=20)
        unfinished = cache / "gpt2-large-shape.unfinished"
        network: Any = transformers.GPT2LMHeadModel(config)
        network.save_pretrained(unfinished, max_shard_size="8GB")
        for name in _TOKENIZER:
            source = embedded().folder / name
            if source.exists():
                shutil.copy(source, unfinished)
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)
    return BenchmarkModel("gpt2-large-shape", "GPT-2 Large's shape, random weights", folder)


def token_stream() -> tuple[int, ...]:
    """Return the embedded passages, one after the other, as token numbers of the embedded model."""
    with _TEXTS.open(encoding="utf-8") as lines:
        text = "\n\n".join(json.loads(line)["text"] for line in lines)
    tokenizer = transformers.AutoTokenizer.from_pretrained(embedded().folder, local_files_only=True)
    return tuple(tokenizer(text)["input_ids"])


def cut_prompts(stream: tuple[int, ...], n: int, context: int) -> tuple[tuple[tuple[int, ...], ...], tuple[int, ...]]:
    """Cut contexts and the tokens that follow them from a stream, evenly spread over it.

    Raises:
        ValueError: the stream is shorter than one prompt.
    """
    if len(stream) <= context:
        raise ValueError(f"{len(stream)} tokens of text are not enough for a context of {context}")
    last = len(stream) - context - 1
    starts = [round(i * last / max(n - 1, 1)) for i in range(n)]
    return tuple(stream[one : one + context] for one in starts), tuple(stream[one + context] for one in starts)
