"""Pictures as files: what journals ask of a PDF."""

from pathlib import Path

from ripplestats.rendering.figure_files import figure_file


def test_a_pdf_holds_its_letters_as_truetype(tmp_path: Path, fonts_as_published: None) -> None:
    with figure_file(tmp_path / "one", "a model", (3.0, 2.0)) as page:
        page.subplots().set_title("Letters")
    content = (tmp_path / "one.pdf").read_bytes()
    assert b"/FontFile2" in content
    assert b"/Type3" not in content
