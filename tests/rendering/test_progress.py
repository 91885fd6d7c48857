"""Progress on a terminal and elsewhere."""

import io
import time

import pytest

from ripplestats.rendering.progress import duration, progress


class Clock:
    """A clock that moves only when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (45, "45 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (125, "2 min 05 s"),
        (3599, "59 min 59 s"),
        (3599.6, "1 h 00 min"),
        (12_000, "3 h 20 min"),
        (360_000, "100 h 00 min"),
    ],
)
def test_durations_are_said_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_lines_come_every_fifteen_seconds_and_at_the_end(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress(8, "prompts") as tell:
        for _ in range(4):
            clock.now += 10
            tell(2)
    out, err = capsys.readouterr()
    assert out == ""
    # After 10 s nothing is said yet; the rate is 2 in 10 s.
    assert err.splitlines() == [
        "4/8 prompts, 0.20 a second, 20 s left",
        "8/8 prompts, 0.20 a second, 0 s left",
    ]


def test_what_an_earlier_start_did_does_not_count_towards_the_speed(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress(100, "prompts", done=80) as tell:
        clock.now += 20
        tell(10)
    assert capsys.readouterr().err == "90/100 prompts, 0.50 a second, 20 s left\n"


@pytest.mark.usefixtures("clock")
def test_a_loop_faster_than_the_clock_ends_without_error(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(2, "prompts") as tell:
        tell(2)
    assert "2/2 prompts" in capsys.readouterr().err


def test_nothing_is_said_where_nothing_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(5, "prompts", done=5):
        pass
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stderr", terminal)
    with progress(4, "prompts", done=1) as tell:
        tell(3)
    assert "1/4" in terminal.getvalue()
    assert "4/4" in terminal.getvalue()
    assert "prompts" in terminal.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_an_error_in_the_loop_passes_through(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: terminal, raising=False)
    monkeypatch.setattr("sys.stderr", stream)
    with pytest.raises(KeyboardInterrupt), progress(4, "prompts"):
        raise KeyboardInterrupt
