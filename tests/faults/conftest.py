"""What the fault tests start: a run of a tiny model over twelve shards."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.tiny import tiny_text


@pytest.fixture(scope="session")
def command(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Sequence[str]:
    """The flags of the run, all but ``--out``."""
    texts = tmp_path_factory.mktemp("texts") / "texts.txt"
    texts.write_text("\n\n".join(tiny_text(300, 30)))
    return (
        "--dataset", str(texts), "--model", str(tiny_folder), "--prompts", "96", "--context", "6", "--arms", "top",
        "--rates", "5,10,20,40,60,90", "--layers", "1", "--bootstrap", "100", "--device", "cpu", "--engine", "hooks",
    )  # fmt: skip
