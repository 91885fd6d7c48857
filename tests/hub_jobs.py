"""Several command lines, or loads and draws, in one process: importing torch for each of them would take seconds.

Reads a JSON list of jobs from standard input and prints the answers as JSON. The pauses between the hub client's
retries are left out, as they add up to minutes.
"""

import contextlib
import io
import json
import sys
import time
import traceback
from typing import Any

from ripplestats.model.load import load_model
from ripplestats.prompts.sampling import load_prompts
from ripplestats.run import main
from tests.pictures import embed_fonts_quickly
from tests.tiny import tiny_tokenizer

#: The pauses that were left out, seconds.
_slept: list[float] = []


def _main(*arguments: str) -> dict[str, Any]:
    """Exit code and what was printed; an exception that would have been a traceback is one here."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(arguments)
        except Exception:  # noqa: BLE001
            code = 1
            traceback.print_exc()
    return {"code": code, "stdout": out.getvalue(), "stderr": err.getvalue()}


def _load(name: str, **options: Any) -> dict[str, Any]:
    model = load_model(name, **options)
    return {
        "used": model.used, "revision": model.revision, "fallback": model.fallback, "layers": model.n_layers,
        "weights": model.weights_sha256,
    }  # fmt: skip


def _draw(name: str, **options: Any) -> dict[str, Any]:
    said: list[str] = []
    _slept.clear()
    table = load_prompts(name, **{"n": 9, "context": 6, **options}, tokenizer=tiny_tokenizer(), say=said.append)
    origin = table.provenance
    return {
        "used": origin.used, "revision": origin.revision, "fallback": origin.fallback,
        "titles": [row.document_title for row in table], "fingerprint": table.fingerprint, "said": said,
        "slept": list(_slept),
    }  # fmt: skip


def _download(name: str) -> None:
    import datasets

    datasets.load_dataset(name, split="train")


if __name__ == "__main__":
    time.sleep = _slept.append
    embed_fonts_quickly(dict.__setitem__)
    work = {"main": _main, "load": _load, "draw": _draw, "download": _download}
    print(json.dumps([work[kind](*words, **options) for kind, words, options in json.load(sys.stdin)]))
