"""Tiny random models of every family, and a word-level tokenizer; for tests only."""

from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from tests.families import EXPERTS, FAMILIES, RECURRENT, WITHOUT_MLP

WORDS = ["<unk>", "<s>", "</s>", *(f"w{number}" for number in range(253))]


def tiny_network(family: str, seed: int = 0) -> Any:
    """Make a random network of a family, large enough in its weights that replacing neurons matters."""
    kind = {**FAMILIES, **RECURRENT, **EXPERTS, **WITHOUT_MLP}[family]
    torch.manual_seed(seed)
    config = getattr(transformers, kind.config)(**kind.options)
    implementation = "eager" if getattr(config, "attn_logit_softcapping", None) else None
    network = transformers.AutoModelForCausalLM.from_config(config, attn_implementation=implementation)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.2)
    return network.eval().requires_grad_(False)


def tiny_tokenizer() -> Any:
    """Make a fast tokenizer that knows the words ``w0`` … ``w252``."""
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.Fuse()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A", special_tokens=[])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )


def save_tiny_model(folder: Path, family: str = "gpt2", seed: int = 0) -> Path:
    """Save a tiny network and its tokenizer as a local model folder."""
    tiny_network(family, seed).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def tiny_text(n_documents: int, words: int, seed: int = 0) -> list[str]:
    """Make documents of random known words."""
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.randint(0, 253, (n_documents, words), generator=generator).tolist()
    return [" ".join(f"w{number}" for number in row) for row in numbers]
