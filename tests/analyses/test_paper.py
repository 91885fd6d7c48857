"""The paper states no result of its own: another run gives other numbers everywhere, and the text has none typed in."""

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from tests.analyses.conftest import ROOT, Built

PAPER = ROOT / "paper"
SECTIONS = sorted((PAPER / "sections").glob("*.tex"))
#: Made of committed simulations and benchmarks: the same whatever the run.
OF_RESULTS = {"calibration", "agreement", "parity", "speed"}
#: ``4.1 [3.2, 6.2]`` of a table, or ``4.1~\% of neurons [3.2, 6.2]`` of the prose.
_INTERVAL = re.compile(r"\$?-?\$?\d+(?:\.\d+)?(?:~[^][{}]+)? \[[^]]*\]")


def of_run(built: Built) -> dict[str, str]:
    """The generated files that depend on the run; of the macros those before the committed results."""
    texts = {name: text for name, text in built.texts.items() if name not in OF_RESULTS}
    texts["prose_numbers"] = texts["prose_numbers"].partition("% Calibration")[0]
    return texts


def intervals(texts: dict[str, str]) -> set[str]:
    """All estimates with their limits, but for those without spread: a share of none or all is 0 or 1 in any run."""
    found = {one for text in texts.values() for one in _INTERVAL.findall(text)}
    return {one for one in found if len(set(re.findall(r"[0-9.]+", one))) > 1}


def test_nothing_of_the_first_run_is_left_in_the_paper_of_a_second(first: Built, second: Built) -> None:
    before, after = intervals(of_run(first)), intervals(of_run(second))
    assert len(before) > 40
    assert len(after) > 40
    assert before & after == set()
    everything = "".join(of_run(second).values()) + "".join(path.read_text(encoding="utf-8") for path in SECTIONS)
    assert not [found for found in before if found in everything]
    assert "first-corpus" not in everything
    assert "second-corpus" in everything


def test_the_figures_of_a_second_run_are_others(first: Built, second: Built) -> None:
    names = sorted(path.name for path in first.out.glob("*.pdf"))
    assert len(names) == 4
    for name in names:
        assert (first.out / name).read_bytes() != (second.out / name).read_bytes(), name


@pytest.mark.parametrize("path", SECTIONS, ids=lambda path: path.stem)
def test_the_text_holds_no_decimal_number(path: Path) -> None:
    text = re.sub(r"(?m)(?<!\\)%.*$", "", path.read_text(encoding="utf-8"))
    # Lengths and figures of layout are no results.
    text = re.sub(r"\\(begin\{minipage\}|includegraphics|setlength)[^\n]*|p\{[^}]*\}", "", text)
    assert not re.findall(r"\d*\.\d+", text)


def test_every_macro_that_the_text_uses_is_generated(first: Built) -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in [PAPER / "main.tex", *SECTIONS])
    made = set(re.findall(r"\\newcommand\{\\(\w+)\}", first.texts["prose_numbers"]))
    asked = set(
        re.findall(r"\\((?:Claim|Cover|Core|Margin|Population|Plateau|Threshold|Size|Family|Families)\w+)", text)
    )
    assert len(asked) > 40
    assert asked <= made
    assert {Path(name).stem for name in re.findall(r"\\input\{generated/(\w+)\}", text)} <= set(first.texts)


def check_log() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_log", PAPER / "check_log.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "line",
    [
        "LaTeX Warning: Reference `tab:x' on page 3 undefined on input line 5.",
        "LaTeX Warning: Citation `nobody' on page 1 undefined on input line 5.",
        "Missing character: There is no ψ in font pplr8t!",
        r"Overfull \hbox (5.01pt too wide) in paragraph at lines 6--14",
        r"Overfull \vbox (12.0pt too high) has occurred while \output is active",
    ],
)
def test_a_log_with_a_fault_is_refused(line: str) -> None:
    assert check_log().faults(f"ok\n{line}\nok\n")


def test_a_log_without_faults_passes() -> None:
    assert not check_log().faults("Overfull \\hbox (4.9pt too wide) in paragraph at lines 1--2\nUnderfull \\hbox\n")


@pytest.mark.skipif(shutil.which("latexmk") is None, reason="latexmk is not on PATH")
def test_the_paper_of_a_second_run_builds_without_faults(second: Built, tmp_path: Path) -> None:
    for name in ("main.tex", "references.bib"):
        shutil.copy(PAPER / name, tmp_path)
    shutil.copytree(PAPER / "sections", tmp_path / "sections")
    shutil.copytree(second.out, tmp_path / "generated")
    command = ["latexmk", "-pdf", "-interaction=nonstopmode", "-halt-on-error", "-quiet", "main.tex"]
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(tmp_path), "max_print_line": "1000"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False, timeout=300)
    log = (tmp_path / "main.log").read_text(encoding="latin-1")
    assert done.returncode == 0, log[-2000:]
    assert not check_log().faults(log)
