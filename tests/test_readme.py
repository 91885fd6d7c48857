"""The README's Python block runs as it stands (on the embedded model), and its commands name flags that exist."""

import re
from pathlib import Path

import pytest

from docs.making.blocks import command_lines, outcomes
from ripplestats.arguments import parse_arguments

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.embedded_model
def test_the_python_block_runs(embedded_model: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (outcome,) = outcomes(README, "README.md")
    assert "threshold" in outcome.printed
    assert (tmp_path / "runs/example/manifest.json").exists()


def test_every_command_of_the_readme_can_be_parsed() -> None:
    commands = command_lines(README, "python -m ripplestats.run")
    assert len(commands) >= 2
    for command in commands:
        parse_arguments(command)


def test_every_make_target_of_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"make ([a-z]+)", README):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
