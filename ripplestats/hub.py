"""Whether the Hugging Face hub answers, asked once and quickly; and which of its failures may pass.

The hub client retries for some 24 s before it gives up; a person without a network should know within seconds.
"""

import http.client
import logging
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache

#: How long to wait for the hub's first answer, seconds.
PROBE_SECONDS = 2.5
#: Below 500, what a hub answers to a request that it would take a little later: time-out, too early, too many requests.
_LATER = (408, 425, 429)
#: How hf_xet, which moves contents for the hub's client, tells of a status.
_XET_STATUS = re.compile(r"HTTP status \w+ error \((\d{3})\b")


@lru_cache(maxsize=8)
def _answers(endpoint: str, timeout: float) -> bool:
    answered: list[bool] = []

    def ask() -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=timeout).close()
        except urllib.error.HTTPError as error:
            # A server that dislikes the request is there; one that is down, or a proxy that forbids, is not.
            answered.append(error.code < 500 and error.code not in (403, 407))
        except (OSError, ValueError, http.client.HTTPException):
            return
        else:
            answered.append(True)

    # Name resolution ignores socket time-outs, hence the thread with a deadline of its own.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout + 0.5)
    return bool(answered) and answered[0]


def reachable(timeout: float = PROBE_SECONDS) -> bool:
    """Tell whether the hub at ``HF_ENDPOINT`` answers within ``timeout`` seconds.

    The answer is kept for the life of the process; ``HF_HUB_OFFLINE=1`` means no without asking.
    """
    from huggingface_hub import constants

    return not constants.HF_HUB_OFFLINE and _answers(constants.ENDPOINT, timeout)


def transport_errors() -> tuple[type[Exception], ...]:
    """Return what the hub client raises when the connection fails, whichever HTTP library it is built on."""
    from huggingface_hub.errors import HfHubHTTPError

    # The first base is the HTTP library's own error, which its broken connections are, too.
    return (HfHubHTTPError, HfHubHTTPError.__bases__[0], ConnectionError, TimeoutError)


def reading_errors() -> tuple[type[Exception], ...]:
    """Return what may be raised while a stream is read: the client's errors, and what readers make of them."""
    return (OSError, RuntimeError, ValueError, *transport_errors())


def causes(error: BaseException) -> list[BaseException]:
    """Return an error and what it came from, the last one first."""
    found: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in found:
        found.append(cause)
        cause = cause.__cause__ or cause.__context__
    return found


def passing(error: BaseException) -> BaseException | None:
    """Return the failed connection that an error came from, if the same request may succeed later, else None."""
    failed = [cause for cause in causes(error) if isinstance(cause, transport_errors())]
    statuses = [status for status in map(_status, failed) if status is not None]
    if not failed or any(map(_is_final, statuses)):
        return None
    return failed[-1]


def final_status(error: BaseException) -> int | None:
    """Return the status by which the hub refused a request for good, or None where it may take it later."""
    status = _status(error)
    return status if status is not None and _is_final(status) else None


def retry_after(error: BaseException) -> float:
    """Return how many seconds the hub asks to be left alone for, 0 where it does not say."""
    response = getattr(error, "response", None)
    asked = "" if response is None else str(response.headers.get("Retry-After", ""))
    return float(asked) if asked.isdecimal() else 0.0


@contextmanager
def retries_told(say: Callable[[str], None]) -> Iterator[None]:
    """Tell in one line of each retry of the hub's client, which it logs, while the context is open."""
    logger = logging.getLogger("huggingface_hub.utils._http")
    before, handler = (logger.level, logger.propagate), _Retries(say)
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.level, logger.propagate = before


class _Retries(logging.Handler):
    """The client logs what failed, then how long it waits."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._say, self._failed = say, ""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if "[Retry " in text:
            self._say(f"the hub failed ({self._failed}); {text}")
        else:
            self._failed = text.partition(" thrown while")[0]


def _is_final(status: int) -> bool:
    return status < 500 and status not in _LATER


def _status(error: BaseException) -> int | None:
    response = getattr(error, "response", None)
    if response is not None:
        return int(response.status_code)
    told = _XET_STATUS.search(str(error))
    return None if told is None else int(told[1])
