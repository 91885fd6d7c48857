"""The frozen table of prompts that a sweep runs over."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, overload

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Prompt:
    """One prompt: context tokens and the token whose probability is followed; ``position`` counts what is before it in its document."""

    prompt_id: int
    document_id: int
    context: str
    context_ids: tuple[int, ...]
    target: str
    target_id: int
    document_title: str = ""
    kind: str = ""
    target_word: str = ""
    position: int = 0


@dataclass(frozen=True)
class Provenance:
    """Where prompts come from: what was asked for, what was really used, and what was left out on the way."""

    requested: str
    used: str
    revision: str = ""
    fallback: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PromptTable(Sequence[Prompt]):
    """A frozen sequence of prompts; a slice is again a table.

    Examples:
        With a small model, whose words are w1, w2, …:

        >>> model = rs.load_model("my-model")
        >>> prompts = rs.make_prompts([("w1 w2 w3", "w4"), ("w5 w6", "w7")], tokenizer=model.tokenizer)
        >>> len(prompts), len(prompts[:1]), prompts[0].target
        (2, 1, 'w4')
    """

    rows: tuple[Prompt, ...]
    provenance: Provenance = field(default_factory=lambda: Provenance("", ""))

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Prompt: ...
    @overload
    def __getitem__(self, index: slice) -> "PromptTable": ...
    def __getitem__(self, index: int | slice) -> "Prompt | PromptTable":
        if isinstance(index, slice):
            return replace(self, rows=self.rows[index])
        return self.rows[index]

    def __iter__(self) -> Iterator[Prompt]:
        return iter(self.rows)

    @property
    def n_documents(self) -> int:
        """Number of different documents."""
        return len({row.document_id for row in self.rows})

    @property
    def longest(self) -> int:
        """Tokens of the longest context."""
        return max((len(row.context_ids) for row in self.rows), default=0)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all token ids, targets and document numbers, in hexadecimal."""
        digest = hashlib.sha256()
        for row in self.rows:
            numbers = [row.document_id, row.target_id, len(row.context_ids), *row.context_ids]
            digest.update(np.asarray(numbers, dtype="<i8").tobytes())
        return digest.hexdigest()

    def to_frame(self) -> "pd.DataFrame":
        """Return the prompts as a pandas frame, one row a prompt."""
        import pandas as pd

        return pd.DataFrame(
            {
                "prompt_id": np.array([row.prompt_id for row in self.rows], dtype=np.int32),
                "document_id": np.array([row.document_id for row in self.rows], dtype=np.int32),
                "context": [row.context for row in self.rows],
                "context_ids": [list(row.context_ids) for row in self.rows],
                "target": [row.target for row in self.rows],
                "target_id": np.array([row.target_id for row in self.rows], dtype=np.int32),
                "document_title": [row.document_title for row in self.rows],
                "kind": [row.kind for row in self.rows],
                "target_word": [row.target_word for row in self.rows],
                "position": np.array([row.position for row in self.rows], dtype=np.int32),
            }
        )
