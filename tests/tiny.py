"""Tiny random models of every family, and a word-level tokenizer; for tests only."""

from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

WORDS = ["<unk>", "<s>", "</s>", *(f"w{number}" for number in range(253))]
_GATED = {
    "vocab_size": 256,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_OLD = {"vocab_size": 256, "bos_token_id": 1, "eos_token_id": 2}

#: Configuration class and options of each family.
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("GPT2Config", {**_OLD, "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 64}),
    "gpt_neo": (
        "GPTNeoConfig",
        {
            **_OLD,
            "hidden_size": 32,
            "num_layers": 3,
            "num_heads": 4,
            "attention_types": [[["global", "local", "global"], 1]],
            "window_size": 4,
            "max_position_embeddings": 64,
        },
    ),
    "gptj": ("GPTJConfig", {**_OLD, "n_embd": 32, "n_layer": 3, "n_head": 4, "rotary_dim": 4, "n_positions": 64}),
    "codegen": ("CodeGenConfig", {**_OLD, "n_embd": 32, "n_layer": 3, "n_head": 4, "rotary_dim": 4, "n_positions": 64}),
    "gpt_neox": (
        "GPTNeoXConfig",
        {k: v for k, v in _GATED.items() if k != "num_key_value_heads"},
    ),
    "opt": (
        "OPTConfig",
        {
            **_OLD,
            "hidden_size": 32,
            "word_embed_proj_dim": 16,
            "ffn_dim": 64,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "max_position_embeddings": 64,
        },
    ),
    "bloom": ("BloomConfig", {**_OLD, "hidden_size": 32, "n_layer": 3, "n_head": 4}),
    "falcon": (
        "FalconConfig",
        {**_OLD, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "max_position_embeddings": 64},
    ),
    "falcon_alibi": (
        "FalconConfig",
        {**_OLD, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "alibi": True},
    ),
    "mpt": ("MptConfig", {**_OLD, "d_model": 32, "n_layers": 3, "n_heads": 4, "max_seq_len": 64, "expansion_ratio": 2}),
    "llama": ("LlamaConfig", _GATED),
    "mistral": ("MistralConfig", {**_GATED, "sliding_window": 4}),
    "qwen2": ("Qwen2Config", _GATED),
    "qwen3": ("Qwen3Config", {**_GATED, "head_dim": 16}),
    "gemma": ("GemmaConfig", {**_GATED, "head_dim": 16}),
    "gemma2": ("Gemma2Config", {**_GATED, "head_dim": 16, "sliding_window": 4}),
    "gemma3": ("Gemma3TextConfig", {**_GATED, "head_dim": 16, "sliding_window": 4}),
    "phi": ("PhiConfig", _GATED),
    "phi3": ("Phi3Config", _GATED),
    "olmo2": ("Olmo2Config", _GATED),
    "stablelm": ("StableLmConfig", _GATED),
    "starcoder2": ("Starcoder2Config", {**_GATED, "sliding_window": 4}),
    "granite": ("GraniteConfig", {**_GATED, "logits_scaling": 4.0}),
}


def tiny_network(family: str, seed: int = 0) -> Any:
    """Make a random network of a family, large enough in its weights that replacing neurons matters."""
    name, options = FAMILIES[family]
    torch.manual_seed(seed)
    config = getattr(transformers, name)(**options)
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
