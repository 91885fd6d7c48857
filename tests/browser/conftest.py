"""Chromium, where one is installed, and the page of a run with hostile texts."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.chromium import CHROMIUM, MISSING, started, wait_for_charts
from tests.report.page.runs import HOSTILE, Analysed, analysed


@dataclasses.dataclass(frozen=True)
class Opened:
    """A page, what its console said, and what it asked for besides itself."""

    page: Page
    messages: list[str]
    requests: list[str]


Open = Callable[..., Opened]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A browser without network."""
    if CHROMIUM is None:
        pytest.skip(MISSING)
    with started() as browser:
        yield browser


@pytest.fixture(scope="session")
def run_with_page(tmp_path_factory: pytest.TempPathFactory) -> Analysed:
    """Twelve prompts with hostile texts, arms top, random and keep_top, and their page."""
    path = tmp_path_factory.mktemp("browser") / "run"
    made = analysed(path, arms=("top", "random", "keep_top"), texts=HOSTILE, dataset=HOSTILE[0])
    made.write()
    return made


@pytest.fixture
def open_page(browser: Browser, run_with_page: Analysed) -> Iterator[Open]:
    """A function that opens a page at a width and in a colour scheme, and waits for its charts."""
    contexts = []

    def opened(path: Path = run_with_page.run.path, width: int = 1280, scheme: str = "light") -> Opened:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page, messages, requests = context.new_page(), [], []
        page.on("console", lambda message: messages.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto((path / "report.html").as_uri())
        wait_for_charts(page)
        return Opened(page, messages, requests)

    yield opened
    for context in contexts:
        context.close()
