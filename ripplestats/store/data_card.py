"""The data card of an exported run: what was run, what the columns mean, how to read and to cite it."""

import json
import re
from collections.abc import Iterator
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ripplestats.store import schema

if TYPE_CHECKING:
    from ripplestats.store.run_directory import Run

#: The entries of a definition that a reader wants, in words; hashes and fingerprints stand in the manifest.
_DEFINITION = {
    "model": "model", "revision": "revision of the model", "weights_sha256": "SHA-256 of its weights", "dtype": "dtype",
    "dataset": "text", "prompts": "prompts", "context": "tokens of context", "arms": "arms (which neurons)",
    "replacement": "replacements (overwritten with)", "site": "sites", "layers": "blocks", "rates": "rates (shares)",
    "seed": "seed",
}  # fmt: skip


def data_card(run: "Run", name: str) -> str:
    """Return the README.md of a run as a dataset of the hub: YAML for its configurations, then words.

    Args:
        run: a run with effects.
        name: of the dataset, ``owner/name``.
    """
    manifest = run.manifest
    definition = manifest["definition"]
    title = f"ripplestats: {definition.get('model', 'a model')} on {definition.get('dataset', 'a text')}"
    counts = manifest.get("dataset", {})
    return "\n".join(
        [
            "---",
            # JSON is YAML, and quotes whatever a name may hold.
            f"pretty_name: {json.dumps(_line(title))}",
            'tags: ["ripplestats", "interpretability", "language-models"]',
            "configs:",
            "- config_name: effects",
            "  data_files: effects/*.parquet",
            "  default: true",
            "- config_name: prompts",
            "  data_files: prompts.parquet",
            "---",
            "",
            f"# {_plain(title)}",
            "",
            "How the prediction of a language model changes when a share of the MLP neurons of one block is overwritten",
            "at the last token: one row for every prompt, arm, replacement, site, block and rate. Made with",
            f"ripplestats {_plain(manifest.get('versions', {}).get('ripplestats', version('ripplestats')))}.",
            "",
            "## What was run",
            "",
            "| | |",
            "| --- | --- |",
            *(f"| {words} | {_plain(definition[key])} |" for key, words in _DEFINITION.items() if key in definition),
            *(f"| {key} | {counts[f'n_{key}']} |" for key in ("documents",) if f"n_{key}" in counts),
            *(f"| note | {_plain(note)} |" for note in counts.get("notes", [])),
            "",
            "`manifest.json` has the rest: versions, the check of the engine, fingerprints.",
            "",
            "## Columns",
            "",
            "Differences are clean − replaced: positive means that the target became less likely.",
            "",
            *_columns("effects", schema.EFFECTS),
            *_columns("prompts", schema.PROMPTS),
            "## Reading it",
            "",
            "```python",
            "from datasets import load_dataset",
            "",
            f'effects = load_dataset("{name}", "effects", split="train")',
            "```",
            "",
            "A downloaded copy is a run directory: `ripplestats.open_run(folder)`, and `python -m ripplestats.run --fit-only",
            "--out folder` estimates it anew. Documents (`document_id`) are the unit of inference.",
            "",
            "## Licence",
            "",
            "To be stated by whoever publishes this: the contexts are excerpts of the text named above, whose licence holds",
            "for them.",
            "",
            "## Citing",
            "",
            "Cite the model, the text, this dataset by its name and commit, and ripplestats by its `CITATION.cff`.",
            "",
        ]
    )  # fmt: skip


def _columns(name: str, layout: pa.Schema) -> Iterator[str]:
    yield f"### {name}"
    yield ""
    yield "| column | type | meaning |"
    yield "| --- | --- | --- |"
    for column in layout:
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        yield f"| `{column.name}` | {_plain(kind)} | {_plain(column.metadata[b'meaning'].decode())} |"
    yield ""


def _plain(value: Any) -> str:
    """Return a value as text that Markdown and HTML take for nothing but text, on one line."""
    text = _line(", ".join(map(str, value)) if isinstance(value, list) else str(value))
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*\[\]|!#])", r"\\\1", text)


def _line(text: str) -> str:
    return " ".join(text.encode(errors="replace").decode().split())
