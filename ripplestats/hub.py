"""Whether the Hugging Face hub answers, asked once and quickly.

The hub client retries for some 24 s before it gives up; a person without a network should know within seconds.
"""

import http.client
import threading
import urllib.error
import urllib.request
from functools import lru_cache

#: How long to wait for the hub's first answer, seconds.
PROBE_SECONDS = 2.5


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
