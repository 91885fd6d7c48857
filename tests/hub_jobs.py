"""Several command lines, or loads and draws, in one process: importing torch for each of them would take seconds.

Reads jobs from standard input, a line of JSON each, and prints the answer to each as another. The pauses between the hub
client's retries are left out, as they add up to minutes, and so are what else takes long and is not about the hub.
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
from tests.pictures import leave_out_pictures, leave_out_random_breaks
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
    leave_out_pictures(setattr)
    leave_out_random_breaks(setattr)
    work = {"main": _main, "load": _load, "draw": _draw, "download": _download}
    for line in sys.stdin:
        kind, words, options = json.loads(line)
        print(json.dumps(work[kind](*words, **options)), flush=True)
