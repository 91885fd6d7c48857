"""A dataset's name → a stream of documents, always read through the ``datasets`` library.

Named corpora, any hub dataset (``owner/name[:config[:split]]``, streamed) and local files. Where the hub cannot
be reached and holds the corpus nowhere in its cache, the embedded passages take its place and the provenance says so.
"""

import hashlib
import itertools
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ripplestats import hub
from ripplestats.config import is_path
from ripplestats.errors import DatasetError, HubError, StorageError, first_line
from ripplestats.prompts.articles import Document, article_title, articles, paragraphs
from ripplestats.prompts.streams import no_silent_retries, patiently, unbroken
from ripplestats.prompts.table import Provenance

if TYPE_CHECKING:
    from datasets import IterableDataset

#: Corpora with a name of their own on the hub: repository, configuration, split.
HUB_CORPORA = {
    "wikitext": ("Salesforce/wikitext", "wikitext-103-raw-v1", "train"),
    "wikitext-2": ("Salesforce/wikitext", "wikitext-2-raw-v1", "train"),
}
#: Corpora that the package carries.
EMBEDDED_CORPORA = {"passages": "passages.jsonl", "cloze": "cloze.jsonl"}
#: File endings and the reader of ``datasets`` for each.
READERS = {".txt": "text", ".raw": "text", ".jsonl": "json", ".csv": "csv", ".parquet": "parquet"}
#: The embedded corpus that stands in where the hub cannot be reached.
FALLBACK = "passages"
#: How many lines of a text file to search for a WikiText title before taking blank lines as separators.
_TITLE_SEARCH = 200


@dataclass(frozen=True)
class Corpus:
    """A corpus that can be read from its beginning any number of times."""

    provenance: Provenance
    documents: Callable[[], Iterator[Document]]


def open_corpus(
    name: str, *, fallback: bool = True, text_column: str | None = None, say: Callable[[str], None] = lambda _: None
) -> Corpus:
    """Find the corpus called ``name``.

    Args:
        name: a named corpus, ``owner/name[:config[:split]]``, or a local file or folder.
        fallback: whether the embedded passages may take the place of a corpus that the hub would have.
        text_column: the column that holds the text; by default ``text``, or the only column of strings.
        say: is told in one line of each connection that breaks while the corpus is read, and is waited for.

    Raises:
        DatasetError: the name is unknown or the data cannot be read.
        HubError: the hub cannot be reached and ``fallback`` is off.
    """
    if name in EMBEDDED_CORPORA:
        return _local(name, embedded_data() / EMBEDDED_CORPORA[name], text_column)
    if is_path(name):
        return _local(name, Path(name), text_column)
    if name not in HUB_CORPORA and (Path(name).suffix in READERS or "/" not in name):
        known = ", ".join([*HUB_CORPORA, *EMBEDDED_CORPORA])
        raise DatasetError(
            f"--dataset {name!r} is neither a file nor a known corpus; "
            f"allowed: {known}, a hub name as owner/name[:config[:split]], "
            f"or a {', '.join(READERS)} file or a folder of them"
        )
    if hub.reachable():
        return _streamed(name, text_column, say)
    cached = _cached(name, text_column)
    if cached is not None:
        return cached
    why = f"the hub cannot be reached and {name!r} is not in its cache"
    if not fallback:
        raise HubError(f"{why}; without --no-fallback the embedded corpus {FALLBACK!r} would take its place")
    substitute = _local(FALLBACK, embedded_data() / EMBEDDED_CORPORA[FALLBACK], None)
    return Corpus(
        Provenance(name, substitute.provenance.used, substitute.provenance.revision, fallback=why),
        substitute.documents,
    )


def embedded_data() -> Path:
    """Return the folder of the embedded corpora, in a checkout or in an installed wheel."""
    package = Path(__file__).parents[1]
    packaged = package / "data"
    return packaged if packaged.is_dir() else package.parent / "data"


def _local(name: str, path: Path, text_column: str | None) -> Corpus:
    files = sorted(f for f in path.rglob("*") if f.suffix in READERS) if path.is_dir() else [path]
    endings = sorted({file.suffix for file in files})
    if not files or any(ending not in READERS for ending in endings):
        raise DatasetError(f"--dataset {name!r} holds none of {', '.join(READERS)}")
    readers = {READERS[ending] for ending in endings}
    if len(readers) > 1:
        raise DatasetError(f"--dataset {name!r} mixes {', '.join(endings)}; a folder holds files of one kind")
    reader = readers.pop()

    def documents() -> Iterator[Document]:
        # Each .txt of a folder is a document; a single file is split at its titles or its blank lines.
        whole_files = reader == "text" and path.is_dir()
        options = {"sample_by": "document"} if whole_files else {}
        with _reading(name):
            rows = _load(reader, data_files=[str(file) for file in files], split="train", **options)
            if reader == "text" and not whole_files:
                yield from _text_documents(row["text"] for row in rows)
            else:
                yield from _row_documents(name, rows, text_column)

    return Corpus(Provenance(name, name, f"sha256:{_digest(name, files)}"), documents)


def _streamed(name: str, text_column: str | None, say: Callable[[str], None]) -> Corpus:
    repository, config, split = _hub_parts(name)
    from huggingface_hub import HfApi

    no_silent_retries()
    with _reading(name):
        revision = patiently(name, lambda: HfApi().dataset_info(repository), say).sha

    def documents() -> Iterator[Document]:
        with _reading(name):
            rows = patiently(name, lambda: _load(repository, config, split=split, revision=revision), say)
            yield from _hub_documents(name, unbroken(name, rows, say), text_column)

    return Corpus(Provenance(name, _used(repository, config, split), revision or ""), documents)


def _cached(name: str, text_column: str | None) -> Corpus | None:
    """Return the corpus from the local cache of ``datasets``, or None if it is not there."""
    import datasets

    repository, config, split = _hub_parts(name)
    before = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = True
    try:
        rows = datasets.load_dataset(repository, config, split=split)
    except (OSError, ValueError, datasets.exceptions.DatasetsError):
        return None
    finally:
        datasets.config.HF_HUB_OFFLINE = before

    def documents() -> Iterator[Document]:
        yield from _hub_documents(name, rows, text_column)

    return Corpus(Provenance(name, _used(repository, config, split), f"cached:{rows._fingerprint}"), documents)


def _hub_parts(name: str) -> tuple[str, str | None, str]:
    if name in HUB_CORPORA:
        return HUB_CORPORA[name]
    repository, *rest = name.split(":")
    if len(rest) > 2 or repository.count("/") != 1:
        raise DatasetError(f"--dataset {name!r} is not of the form owner/name[:config[:split]]")
    config, split = (*rest, "", "")[:2]
    return repository, config or None, split or "train"


def _used(repository: str, config: str | None, split: str) -> str:
    return ":".join(part for part in (repository, config, split) if part)


def _load(path: str, config: str | None = None, **options: Any) -> "IterableDataset":
    import datasets

    return datasets.load_dataset(path, config, streaming=True, **options)


def _hub_documents(name: str, rows: Iterable[dict[str, Any]], text_column: str | None) -> Iterator[Document]:
    if _hub_parts(name)[0] == HUB_CORPORA["wikitext"][0]:
        return articles(row["text"] for row in rows)
    return _row_documents(name, rows, text_column)


def _text_documents(lines: Iterator[str]) -> Iterator[Document]:
    first = list(itertools.islice(lines, _TITLE_SEARCH))
    split = articles if any(article_title(line) is not None for line in first) else paragraphs
    return split(itertools.chain(first, lines))


def _row_documents(name: str, rows: Iterable[dict[str, Any]], text_column: str | None) -> Iterator[Document]:
    column = None
    for row in rows:
        cloze = text_column is None and {"prompt", "target"} <= row.keys()
        column = column or ("prompt" if cloze else _text_column(name, row, text_column))
        text = row[column]
        if isinstance(text, str) and text.strip():
            yield Document(
                title=str(row.get("title") or ""),
                text=text,
                target=str(row["target"] or "") if cloze else None,
                kind=str(row.get("kind") or row.get("category") or ""),
            )


def _text_column(name: str, row: dict[str, Any], wanted: str | None) -> str:
    strings = [column for column, value in row.items() if isinstance(value, str)]
    if wanted is not None and wanted in row:
        return wanted
    if wanted is None and "text" in row:
        return "text"
    if wanted is None and len(strings) == 1:
        return strings[0]
    what = f"no column {wanted!r}" if wanted else "no column 'text'"
    raise DatasetError(f"--dataset {name!r} has {what}; name one of {', '.join(map(repr, row))} by --text-column")


def _digest(name: str, files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        try:
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        except OSError as error:
            raise DatasetError(f"--dataset {name!r}: {file.name} cannot be read ({error.strerror})") from error
    return digest.hexdigest()


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Turn what ``datasets`` and the hub client raise into one clear line."""
    import datasets
    import pyarrow as pa
    from huggingface_hub import errors as hub_errors

    # What fails is said in our words; the library would log a line of its own before.
    datasets.utils.logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    except StopIteration as error:
        raise DatasetError(f"--dataset {name!r} is empty") from error
    except (datasets.exceptions.DatasetNotFoundError, hub_errors.RepositoryNotFoundError) as error:
        raise DatasetError(f"--dataset {name!r} does not exist on the hub, or is private") from error
    except (
        OSError,
        ValueError,
        RuntimeError,
        KeyError,
        pa.ArrowException,
        datasets.exceptions.DatasetsError,
        *hub.transport_errors(),
    ) as error:
        raise _explained(name, error) from error


def _explained(name: str, error: BaseException) -> Exception:
    causes = hub.causes(error)
    if any(isinstance(one, UnicodeDecodeError) for one in causes):
        return DatasetError(f"--dataset {name!r} is not UTF-8 text")
    if any(isinstance(one, hub.transport_errors()) for one in causes):
        return HubError(
            f"the hub failed while {name!r} was read: {first_line(causes[-1])[:200]}; "
            "the same command draws the same prompts and goes on with what is missing"
        )
    if any(isinstance(one, OSError) and one.errno == 28 for one in causes):
        return StorageError(f"no space left on disk while --dataset {name!r} was read")
    return DatasetError(f"--dataset {name!r} cannot be read: {first_line(causes[0])[:200]}")
