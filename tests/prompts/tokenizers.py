"""Tokenizers of the kinds that matter to sampling; for tests only."""

from typing import Any

import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from tests.tiny import WORDS, tiny_tokenizer

END = "<|endoftext|>"


def byte_tokenizer() -> Any:
    """One token a byte, as GPT-2's falls back to: an emoji is four tokens, none of them a character."""
    vocabulary = {letter: number for number, letter in enumerate([END, *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=END, eos_token=END)


def beginning_tokenizer() -> Any:
    """The tiny tokenizer, which here puts a beginning-of-text token first, as Gemma's and Llama's do."""
    tokenizer = tiny_tokenizer()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    return tokenizer


def piece_tokenizer() -> Any:
    """Words with their leading space as part of the token, which decoding a token by itself drops, as Llama 2's does."""
    vocabulary = {word if word.startswith("<") else f"▁{word}": number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )
