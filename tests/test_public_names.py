"""The public names of the package."""

import ripplestats as rs


def test_all_is_sorted_and_every_name_can_be_had() -> None:
    assert list(rs.__all__) == sorted(rs.__all__)
    for name in rs.__all__:
        assert getattr(rs, name).__module__.startswith("ripplestats.")


def test_dir_lists_the_public_names_and_others_are_refused() -> None:
    assert set(rs.__all__) < set(dir(rs))
    assert not hasattr(rs, "no_such_name")


def test_the_version_is_that_of_the_changelog_and_the_citation() -> None:
    from pathlib import Path

    root = Path(rs.__file__).parents[1]
    assert f"## {rs.__version__}" in (root / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"version: {rs.__version__}" in (root / "CITATION.cff").read_text(encoding="utf-8")
