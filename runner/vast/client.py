"""HTTP as the API of Vast.ai speaks it: one key, in a header and nowhere else; pauses; tries; timeouts.

What changes nothing when it is done twice is tried again (`ask`); the rest is sent once (`send`).
"""

from __future__ import annotations

import logging
import random
import threading
import time
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import requests

from runner.errors import RateLimitError, UnansweredError
from runner.vast.key import ApiKey, find_url
from runner.vast.pace import Endpoint, Pace
from runner.vast.refusals import Answer, answer_of, is_daily, refusal

if TYPE_CHECKING:
    from collections.abc import Callable

CONNECT_TIMEOUT_S: Final = 10
READ_TIMEOUT_S: Final = 30
PATIENCE_S: Final = 120.0
"""How long one call may take, with all its tries."""
WAITS_S: Final = (1.0, 5.0, 15.0, 60.0)
"""Before the second try, the third, ...; the last one from then on."""
MAX_REPLY_BYTES: Final = 64 << 20

log = logging.getLogger(__name__)


class Connection:
    """Sends calls with one key. For any number of threads.

    `clock`, `sleep` and `chance` are the machine's own unless others are given; `sleep` may raise to end the waiting.
    """

    def __init__(
        self,
        key: ApiKey,
        *,
        url: str | None = None,
        patience_s: float = PATIENCE_S,
        read_timeout_s: float = READ_TIMEOUT_S,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        logging.getLogger("urllib3").setLevel(logging.WARNING)  # at DEBUG it prints URLs, signatures of logs included
        self.url = (url or find_url()).rstrip("/")
        self.key = key
        self.pace = Pace(clock=clock, sleep=sleep)
        self.clock = clock
        self.sleep = sleep
        self._patience_s = patience_s
        self._timeout_s = (CONNECT_TIMEOUT_S, read_timeout_s)
        self._chance = chance
        self._local = threading.local()

    def close(self) -> None:
        """Close this thread's connections; a later call opens new ones."""
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is not None:
            session.close()
            self._local.session = None

    def ask(
        self,
        what: str,
        endpoint: Endpoint,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        json: Any = None,
    ) -> Answer:
        """The answer when it is a success. For calls that may be made twice: tries until `patience_s` are over."""
        since = self.clock()
        tries = 0
        while True:
            self.pace.wait(endpoint)
            try:
                answer = self.send(what, method, path, query=query, json=json)
                if answer.is_success:
                    return answer
                raise refusal(what, answer)
            except (UnansweredError, RateLimitError) as error:
                wait_s = self._wait_s(error, endpoint, tries)
                if wait_s is None or self.clock() + wait_s - since > self._patience_s:
                    raise
                log.info("%s; try %d follows in %.1f s", error, tries + 2, wait_s)
            tries += 1
            self.sleep(wait_s)

    def _wait_s(self, error: UnansweredError | RateLimitError, endpoint: Endpoint, tries: int) -> float | None:
        """Half to all of the table's wait, or many would return at once; never less than the service asks."""
        wait_s: float = WAITS_S[min(tries, len(WAITS_S) - 1)] * (0.5 + 0.5 * self._chance())
        if isinstance(error, RateLimitError):
            if is_daily(error):
                return None
            wait_s = max(wait_s, error.retry_after_s or 2 * endpoint.value.interval_s)
        return wait_s

    def send(
        self, what: str, method: str, path: str, *, query: dict[str, str] | None = None, json: Any = None
    ) -> Answer:
        """One request, and whatever is answered. Raises `UnansweredError` when nothing is."""
        try:
            reply = self._session().request(
                method,
                self.url + path,
                params=query,
                json=json,
                headers={"Authorization": f"Bearer {self.key.secret}"},
                timeout=self._timeout_s,
                allow_redirects=False,  # the key is for this server
                stream=True,
            )
            with reply:
                return answer_of(reply.status_code, reply.headers, _content(reply))
        except (requests.RequestException, OSError) as error:
            # The cause quotes the request.
            raise UnansweredError(f"{what}: {_reason(error)}; check the connection, and {self.url}") from None

    def fetch(self, url: str) -> str | None:
        """What is at `url`, without the key; None when it is not there yet."""
        try:
            with requests.get(url, timeout=self._timeout_s, stream=True, auth=_no_auth) as reply:
                return _content(reply).decode("utf-8", "replace") if reply.status_code == 200 else None
        except (requests.RequestException, OSError):
            return None

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = requests.Session()
            session.headers["User-Agent"] = f"framehaul/{version('framehaul')}"
            session.auth = _no_auth  # or requests would look for a key of its own in .netrc, and send that
            self._local.session = session
        return session


def _content(reply: requests.Response) -> bytes:
    data = bytearray()
    for piece in reply.iter_content(1 << 16):
        data += piece
        if len(data) > MAX_REPLY_BYTES:
            raise requests.exceptions.ContentDecodingError("the answer does not end")
    return bytes(data)


def _reason(error: Exception) -> str:
    reasons: tuple[tuple[type[Exception], str], ...] = (
        (requests.ConnectTimeout, f"no connection within {CONNECT_TIMEOUT_S} s"),
        (requests.Timeout, "no answer in time"),
        (requests.exceptions.SSLError, "no secure connection"),
        (requests.exceptions.ChunkedEncodingError, "the answer broke off"),
        (requests.exceptions.ContentDecodingError, "the answer makes no sense"),
        (requests.ConnectionError, "the connection failed"),
    )
    return next((text for kind, text in reasons if isinstance(error, kind)), "the answer broke off")


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
