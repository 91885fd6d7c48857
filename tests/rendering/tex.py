"""Compile fragments with pdfLaTeX, where it is installed."""

import shutil
import subprocess
from pathlib import Path

import pytest

_PREAMBLE = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage{booktabs}
"""

needs_pdflatex = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not on PATH")


def _found(package: str) -> bool:
    if shutil.which("kpsewhich") is None:
        return False
    return subprocess.run(["kpsewhich", f"{package}.sty"], capture_output=True, check=False, timeout=60).returncode == 0


needs_siunitx = pytest.mark.skipif(not _found("siunitx"), reason="siunitx is not installed (texlive-science)")


def compile_tex(body: str, folder: Path, packages: str = "") -> Path:
    """Compile ``body`` and return the PDF; an error of TeX, or a glyph that is missing, fails the test."""
    source = folder / "document.tex"
    source.write_text(f"{_PREAMBLE}{packages}\\begin{{document}}\n{body}\n\\end{{document}}\n", encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-no-shell-escape", source.name]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=60)
    said = done.stdout.decode("utf-8", "replace")
    errors = [line for line in said.splitlines() if line.startswith("!") or "Missing character" in line]
    assert done.returncode == 0, f"pdflatex fails: {errors or said[-2000:]}"
    assert not errors, errors
    return folder / "document.pdf"


def text_of(pdf: Path) -> str:
    """The text of a PDF, each run of white space as one space; skips where pdftotext is not installed."""
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext is not on PATH")
    done = subprocess.run(["pdftotext", "-layout", pdf, "-"], capture_output=True, check=True, timeout=60)
    return " ".join(done.stdout.decode("utf-8").split())
