"""What an answer that is no success means: the one table from status, code and text to an error.

The same fact comes under several statuses, and one status means several things: a wrong key is answered with 404,
as is an instance that is gone. So the words count first, and the status after them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from runner.errors import (
    CreditError,
    OfferGoneError,
    ProviderError,
    ProviderKeyError,
    RateLimitError,
    RefusedError,
    UnansweredError,
    UnknownOutcomeError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_TEXT: Final = 300
QUOTA: Final = "search_quota_exceeded"


class InstanceGoneError(ProviderError, LookupError):
    """No such instance, or no more: for whoever destroys or shows it, an answer and no failure."""


class CreateFailedError(UnknownOutcomeError):
    """Renting failed, and the answer names an instance all the same: it costs money until it is destroyed."""

    def __init__(self, message: str, *, instance_id: int) -> None:
        self.instance_id = instance_id
        super().__init__(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The facts of one answer."""

    status: int
    body: dict[str, Any] | None
    """None when it is no JSON object."""
    text: str = ""
    """What it says when it is no JSON object, cut short."""
    retry_after_s: float | None = None

    @property
    def is_success(self) -> bool:
        return self.status == 200 and self.body is not None and self.body.get("success", True) is True

    @property
    def code(self) -> str:
        """The service's own word, such as `no_such_ask`."""
        value = (self.body or {}).get("error")
        return value if isinstance(value, str) else ""

    @property
    def message(self) -> str:
        """The service's sentence, in whichever field it is this time."""
        for name in ("msg", "message", "detail", "error"):
            value = (self.body or {}).get(name)
            if isinstance(value, str) and value:
                return _one_line(value)
        return self.text

    @property
    def contract(self) -> int | None:
        """The instance that the answer speaks of, success or not."""
        value = (self.body or {}).get("new_contract")
        return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None

    def __str__(self) -> str:
        said = self.message
        return (
            f"{self.status}{f' {self.code}' if self.code and self.code != said else ''}{f' ({said})' if said else ''}"
        )


def answer_of(status: int, headers: Mapping[str, str], content: bytes) -> Answer:
    """The facts of an answer as it came."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        value = None
    text = "" if value is not None else _one_line(content[:4000].decode("utf-8", "replace"))
    if isinstance(value, str):
        text = _one_line(value)
    return Answer(
        status=status,
        body=value if isinstance(value, dict) else None,
        text=text,
        retry_after_s=_seconds(headers.get("Retry-After")),
    )


@dataclass(frozen=True, slots=True)
class _Row:
    """Statuses and words that together mean one thing. Words are looked for in code and message, in small letters."""

    error: type[ProviderError]
    words: tuple[str, ...] = ()
    """One of them has to be there; none means any text."""
    statuses: frozenset[int] = frozenset()
    """Empty means any status below 500."""
    advice: str = ""


_KEY_ADVICE: Final = "check the key, its rights (docs/vast.md) and that its session has not expired"
_CREDIT_ADVICE: Final = "see https://cloud.vast.ai/billing/"
_TABLE: Final = (
    _Row(
        CreditError,
        ("insufficient_credit", "insufficient credit", "spend_rate_limit", "missing_billing", "lacks credit"),
        advice=_CREDIT_ADVICE,
    ),
    _Row(RateLimitError, (QUOTA,), advice="no more searches today; try again after midnight UTC"),
    _Row(RateLimitError, ("too frequent", "rate_limit", "rate limit", "too many requests"), advice="try again later"),
    _Row(RateLimitError, statuses=frozenset({429}), advice="try again later"),
    _Row(
        ProviderKeyError,
        ("auth_error", "invalid user key", "two factor", "session expired", "requires login", "lacks proper priv"),
        advice=_KEY_ADVICE,
    ),
    _Row(ProviderKeyError, ("not_authorized", "not authorized"), advice=_KEY_ADVICE),
    _Row(OfferGoneError, ("no_such_ask", "no longer available", "ask is not available"), advice="take another offer"),
    _Row(InstanceGoneError, ("no_such_instance", "no such instance", "invalid_id"), frozenset({200, 400, 404, 410})),
    _Row(InstanceGoneError, ("not_found",), frozenset({404, 410})),
    _Row(ProviderKeyError, statuses=frozenset({401, 403}), advice=_KEY_ADVICE),
    _Row(RefusedError, ("deprecated_endpoint",), advice="this version is too old for the API; update it"),
    _Row(UnansweredError, statuses=frozenset({408, 425}), advice="try again later"),
    _Row(
        RefusedError,
        statuses=frozenset({301, 302, 303, 307, 308}),
        advice="the API has moved, and the key does not follow; set VAST_URL",
    ),
)


def refusal(what: str, answer: Answer) -> ProviderError:
    """The error for `answer`, which came when `what` was asked ("renting offer 7")."""
    said = f"{what}: Vast.ai answered {answer}"
    if answer.status >= 500:
        return UnansweredError(f"{said}; whether it was done is unknown")
    words = f"{answer.code} {answer.message}".lower()
    for row in _TABLE:
        if row.statuses and answer.status not in row.statuses:
            continue
        if row.words and not any(word in words for word in row.words):
            continue
        error = row.error(said + (f"; {row.advice}" if row.advice else ""))
        if isinstance(error, RateLimitError):
            error.retry_after_s = answer.retry_after_s
        return error
    return RefusedError(said)


def is_daily(error: RateLimitError) -> bool:
    """Whether waiting for less than a day is in vain."""
    return QUOTA in str(error)


def _one_line(text: str) -> str:
    """`text` without markup, line breaks and what a terminal would obey."""
    plain = " ".join(re.sub(r"<[^>]{0,200}>", " ", text).split())[:MAX_TEXT]
    return "".join(letter for letter in plain if letter.isprintable())


def _seconds(value: str | None) -> float | None:
    """Seconds in a `Retry-After` header; None when it is absent, a date or nonsense."""
    try:
        seconds = float(value or "")
    except ValueError:
        return None
    return seconds if 0 <= seconds <= 86400 else None
