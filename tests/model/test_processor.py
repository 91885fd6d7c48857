"""What is read of the processor, and what is taken for granted where the system does not say."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ripplestats.model import processor


@pytest.fixture(autouse=True)
def _asked_anew() -> Iterator[None]:
    yield
    processor.made_by_intel.cache_clear()
    processor.cache_of_core.cache_clear()


@pytest.mark.parametrize(("maker", "expected"), [("GenuineIntel", True), ("AuthenticAMD", False)])
def test_the_maker_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, maker: str, expected: bool) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(f"processor\t: 0\nvendor_id\t: {maker}\n", encoding="utf-8")
    monkeypatch.setattr(processor, "_INFORMATION", file)
    processor.made_by_intel.cache_clear()
    assert processor.made_by_intel() is expected


@pytest.mark.parametrize(("name", "expected"), [("Intel64 Family 6 Model 85 Stepping 4", True), ("arm", False)])
def test_other_systems_are_asked_for_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, expected: bool
) -> None:
    monkeypatch.setattr(processor, "_INFORMATION", tmp_path / "nothing")
    monkeypatch.setattr(processor.platform, "processor", lambda: name)
    processor.made_by_intel.cache_clear()
    assert processor.made_by_intel() is expected


@pytest.mark.parametrize(("said", "expected"), [("512K\n", 2**19), ("2048K\n", 2**21), (None, 2**21)])
def test_the_cache_of_a_core_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str | None, expected: int
) -> None:
    file = tmp_path / "size"
    if said is not None:
        file.write_text(said, encoding="ascii")
    monkeypatch.setattr(processor, "_SECOND_LEVEL", file)
    processor.cache_of_core.cache_clear()
    assert processor.cache_of_core() == expected
