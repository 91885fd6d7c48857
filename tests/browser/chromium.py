"""Chromium as it is installed here, without a network, and when a page in it has drawn all its charts."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
MISSING = "no Chromium is installed (Debian: apt-get install chromium)"
_ALL_DRAWN = "() => [...document.querySelectorAll('.plot')].every((one) => one.querySelector('svg'))"


@contextmanager
def started() -> Iterator[Browser]:
    """Start the browser, and close it in the end."""
    # Containers often have hardly any shared memory, and root has no sandbox.
    options = ["--disable-dev-shm-usage", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


def wait_for_charts(page: Page) -> None:
    """Wait until every chart of a page is drawn."""
    page.wait_for_function(_ALL_DRAWN)
