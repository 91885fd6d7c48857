"""Documents → a seeded sample of prompts.

The n-th prompt of a seed is the same however many are asked for: documents come in the order of a seeded shuffle
buffer, and each draws from a generator of its own.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ripplestats.errors import DatasetError, InputError
from ripplestats.prompts.articles import Document
from ripplestats.prompts.corpora import Corpus, open_corpus
from ripplestats.prompts.table import Prompt, PromptTable, Provenance

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

#: Fewer prompts than this are refused: no interval over documents would mean anything.
MINIMUM_PROMPTS = 8
#: Documents held by the shuffle; a larger corpus is drawn from its beginning onwards.
SHUFFLE_BUFFER = 512
#: Documents whose first prompts are a pilot's, where rates are chosen by one.
PILOT_DOCUMENTS = 16


def load_prompts(
    name: str,
    n: int = 64,
    context: int = 32,
    *,
    tokenizer: "PreTrainedTokenizerBase",
    seed: int = 0,
    per_document: int = 1,
    fallback: bool = True,
    text_column: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> PromptTable:
    """Open a corpus and draw ``n`` prompts from it.

    Args:
        name: a named corpus, ``owner/name[:config[:split]]``, or a local file or folder.
        n: how many prompts; with fewer in the corpus the table is shorter and its notes say so.
        context: tokens before the target. A beginning-of-text token that the tokenizer itself puts first counts as
            one of them. Cloze prompts keep their own length.
        tokenizer: a fast tokenizer.
        seed: of the shuffle and of the windows.
        per_document: at most so many windows of one document; they never overlap.
        fallback: whether the embedded passages may stand in for a corpus that the hub would have.
        text_column: the column that holds the text.
        say: is told in one line of each connection that breaks on the way, and is waited for.

    Returns:
        A frozen table with the prompts in the order drawn.

    Raises:
        DatasetError: the corpus cannot be read, or holds fewer than 8 usable prompts.
        HubError: the hub cannot be reached and ``fallback`` is off.

    Examples:
        With a small model, and a file of sixty texts:

        >>> model = rs.load_model("my-model")
        >>> prompts = rs.load_prompts("texts.jsonl", n=16, context=12, tokenizer=model.tokenizer, seed=0)
        >>> len(prompts), prompts.n_documents, len(prompts[0].context_ids)
        (16, 16, 12)
    """
    corpus = open_corpus(name, fallback=fallback, text_column=text_column, say=say)
    return draw_prompts(corpus, n, context, tokenizer=tokenizer, seed=seed, per_document=per_document)


def draw_prompts(
    corpus: Corpus,
    n: int = 64,
    context: int = 32,
    *,
    tokenizer: "PreTrainedTokenizerBase",
    seed: int = 0,
    per_document: int = 1,
    pilot_documents: int = 0,
) -> PromptTable:
    """Draw ``n`` prompts from a corpus that is already open; arguments and errors are those of ``load_prompts``.

    ``pilot_documents`` come before them in the table, so that the n prompts are the same however many are asked for.
    """
    for option, value in (("--prompts", n), ("--context", context), ("--per-document", per_document)):
        if value < 1:
            raise InputError(f"{option} {value} must be at least 1")
    skipped: Counter[str] = Counter()
    rows: list[Prompt] = []
    n_pilot = 0
    for number, document in enumerate(_shuffled(corpus, seed)):
        rng = np.random.default_rng([seed, number])
        drawn = _cloze(document, tokenizer, skipped) if document.target is not None else None
        if drawn is None:
            drawn = windows(document, tokenizer, context, per_document, rng, skipped)
        document_id = rows[-1].document_id + 1 if rows else 0
        rows += [replace(row, prompt_id=len(rows) + i, document_id=document_id) for i, row in enumerate(drawn)]
        if document_id < pilot_documents:
            n_pilot = len(rows)
        if len(rows) - n_pilot >= n:
            break
    found = rows[n_pilot : n_pilot + n]
    notes = _notes(found, n, context, skipped)
    if len(found) < MINIMUM_PROMPTS:
        pilot = f" beside the {n_pilot} of {pilot_documents} documents for the pilot" if pilot_documents else ""
        raise DatasetError(
            f"--dataset {corpus.provenance.requested!r} gives {len(found)} usable prompts{pilot}, at least "
            f"{MINIMUM_PROMPTS} are needed" + (f" ({'; '.join(notes)})" if notes else "")
        )
    return PromptTable(tuple(rows[: n_pilot + n]), replace(corpus.provenance, notes=notes))


def split_pilot(prompts: PromptTable) -> tuple[PromptTable, PromptTable]:
    """Return a pilot, the first prompt of each of the first documents, and the prompts of all other documents.

    Raises:
        InputError: fewer than 8 prompts would be left.
    """
    first: dict[int, Prompt] = {}
    for row in prompts:
        first.setdefault(row.document_id, row)
    pilot = list(first.values())[:PILOT_DOCUMENTS]
    taken = {row.document_id for row in pilot}
    rest = tuple(row for row in prompts if row.document_id not in taken)
    if len(rest) < MINIMUM_PROMPTS:
        raise InputError(
            f"rates 'staged' need {PILOT_DOCUMENTS} documents for the pilot and at least {MINIMUM_PROMPTS} prompts of "
            f"others; there are {len(prompts)} prompts of {prompts.n_documents} documents"
        )
    return replace(prompts, rows=tuple(pilot)), replace(prompts, rows=rest)


def make_prompts(pairs: Iterable[tuple[str, str]], *, tokenizer: "PreTrainedTokenizerBase") -> PromptTable:
    """Make prompts of texts and the words that should follow them, each a document of its own.

    Args:
        pairs: text and word, as in ``("It was a dark and stormy", " night")``; the target is the word's first token.
        tokenizer: a fast tokenizer.

    Raises:
        DatasetError: a word has no token that could be a target.

    Examples:
        With a small model, whose words are w1, w2, …:

        >>> model = rs.load_model("my-model")
        >>> prompts = rs.make_prompts([("w1 w2 w3", "w4"), ("w5 w6", "w7")], tokenizer=model.tokenizer)
        >>> prompts.to_frame()[["context", "target"]]
          context target
        0  w1w2w3     w4
        1    w5w6     w7
    """
    rows: list[Prompt] = []
    for text, word in pairs:
        found = _cloze(Document("", text, word), tokenizer, Counter())
        if not found:
            raise DatasetError(f"the word {word!r} has no token that could be a target")
        rows.append(replace(found[0], prompt_id=len(rows), document_id=len(rows)))
    return PromptTable(tuple(rows), Provenance("given texts", "given texts"))


def windows(
    document: Document,
    tokenizer: "PreTrainedTokenizerBase",
    context: int,
    per_document: int,
    rng: np.random.Generator,
    skipped: Counter[str],
) -> list[Prompt]:
    """Draw at most ``per_document`` windows of ``context`` tokens that do not overlap, with their next tokens.

    Targets that are special, white space or half a character are passed over. ``skipped`` counts the documents that
    give nothing, by reason.
    """
    prefix = _beginning(tokenizer)
    ids = _tokens(tokenizer, document.text)
    length = context - len(prefix)
    if len(ids) <= length:
        skipped["short"] += 1
        return []
    taken: list[int] = []
    for start in rng.permutation(len(ids) - length).tolist():
        if len(taken) == per_document:
            break
        if all(abs(start - other) > length for other in taken) and _usable(tokenizer, ids[start + length]):
            taken.append(start)
    if not taken:
        skipped["no usable target"] += 1
    return [
        _prompt(tokenizer, document, [*prefix, *ids[start : start + length]], ids[start + length], start + length)
        for start in taken
    ]


def _shuffled(corpus: Corpus, seed: int) -> Iterator[Document]:
    from datasets import Features, IterableDataset, Value

    def records() -> Iterator[dict[str, Any]]:
        for document in corpus.documents():
            yield asdict(document)

    features = Features({name: Value("string") for name in ("title", "text", "target", "kind")})
    stream = IterableDataset.from_generator(records, features=features)
    for record in stream.shuffle(seed=seed, buffer_size=SHUFFLE_BUFFER):
        yield Document(**record)


def _cloze(document: Document, tokenizer: "PreTrainedTokenizerBase", skipped: Counter[str]) -> list[Prompt]:
    """Make one prompt of a text and the word that should follow it; its target is that word's first token."""
    word = document.target or ""
    ids = _tokens(tokenizer, document.text)
    both = _tokens(tokenizer, document.text + word)
    following = both[len(ids) :] if both[: len(ids)] == ids else _tokens(tokenizer, word)
    if not following or not _usable(tokenizer, following[0]):
        skipped["no usable target"] += 1
        return []
    prompt = _prompt(tokenizer, document, [*_beginning(tokenizer), *ids], following[0], len(ids))
    if len(following) > 1:
        skipped["target longer than one token"] += 1
    return [replace(prompt, target_word=word)]


def _prompt(
    tokenizer: "PreTrainedTokenizerBase", document: Document, ids: Sequence[int], target: int, position: int
) -> Prompt:
    return Prompt(
        prompt_id=0,
        document_id=0,
        context=str(tokenizer.decode(list(ids))),
        context_ids=tuple(ids),
        target=str(tokenizer.decode([target])),
        target_id=target,
        document_title=document.title,
        kind=document.kind,
        position=position,
    )


def _tokens(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return ids


def _beginning(tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    """Return the beginning-of-text token if this tokenizer starts every text with one, as Gemma's does."""
    ids: list[int] = tokenizer("x")["input_ids"]
    return ids[:1] if ids and ids[0] == tokenizer.bos_token_id else []


def _usable(tokenizer: "PreTrainedTokenizerBase", token: int) -> bool:
    if token in tokenizer.all_special_ids:
        return False
    text = str(tokenizer.decode([token]))
    return bool(text.strip()) and "\N{REPLACEMENT CHARACTER}" not in text


def _notes(rows: list[Prompt], n: int, context: int, skipped: Counter[str]) -> tuple[str, ...]:
    notes = []
    if skipped["short"]:
        notes.append(f"{skipped['short']} documents with no more than {context} tokens were left out")
    if skipped["no usable target"]:
        notes.append(f"{skipped['no usable target']} documents without a usable target were left out")
    if skipped["target longer than one token"]:
        notes.append(
            f"in {skipped['target longer than one token']} prompts the target is the first token of a longer word"
        )
    if len(rows) < n:
        notes.append(f"{len(rows)} prompts, fewer than the {n} asked for")
    return tuple(notes)
