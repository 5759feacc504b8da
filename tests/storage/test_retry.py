"""The table of what is tried again, the waits, and the end of patience."""

from __future__ import annotations

import pytest

from storage.errors import (
    AccessError,
    CapError,
    ConnectionFailedError,
    Failure,
    GaveUpError,
    MissingError,
    RequestError,
    refused,
)
from storage.lanes import Lanes
from storage.retry import BROKEN, BUSY, DAMAGED, SLOW_DOWN, Retrier, Rule, retry_after_s, rule_of


@pytest.mark.parametrize(
    ("failure", "rule"),
    [
        (Failure(), BROKEN),
        (Failure(status=503, code="ServiceUnavailable"), BUSY),
        (Failure(status=503, code="SlowDown"), SLOW_DOWN),
        (Failure(status=503, code="503"), BUSY),
        (Failure(status=429, code="too_many_requests"), SLOW_DOWN),
        (Failure(status=500, code="InternalError"), BUSY),
        (Failure(status=502), BUSY),
        (Failure(status=504), BUSY),
        (Failure(status=408, code="RequestTimeout"), BROKEN),
        (Failure(status=400, code="RequestTimeout"), BROKEN),
        (Failure(status=400, code="BadDigest"), DAMAGED),
        (Failure(status=400, code="IncompleteBody"), DAMAGED),
        (Failure(status=400, code="InvalidRequest", message="The request body was too small"), DAMAGED),
        (Failure(status=400, code="InvalidRequest", message="anything else"), None),
        (Failure(status=501, code="NotImplemented"), None),
        (Failure(status=500, code="NotImplemented"), None),
        (Failure(status=403, code="AccessDenied", message="Transaction cap exceeded. See the Caps page"), None),
        (Failure(status=403, code="AccessDenied"), None),
        (Failure(status=401, code="expired"), None),
        (Failure(status=404, code="NoSuchKey"), None),
        (Failure(status=404, code="NoSuchUpload"), None),
        (Failure(status=412), None),
        (Failure(status=416), None),
        (Failure(status=400, code="InvalidPart"), None),
        (Failure(status=400, code="EntityTooSmall"), None),
    ],
    ids=str,
)
def test_the_table(failure: Failure, rule: Rule | None) -> None:
    assert rule_of(failure) == rule


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (Failure(), ConnectionFailedError),
        (Failure(status=404), MissingError),
        (Failure(status=403, code="SignatureDoesNotMatch"), AccessError),
        (Failure(status=401), AccessError),
        (Failure(status=403, message="Storage cap exceeded"), CapError),
        (Failure(status=403, code="download_cap_exceeded"), CapError),
    ],
    ids=str,
)
def test_each_failure_has_its_error(failure: Failure, error: type[Exception]) -> None:
    assert type(refused("reading b2://b/k", failure)) is error


def test_a_wrong_clock_is_named() -> None:
    assert "clock" in str(refused("reading b2://b/k", Failure(status=403, code="RequestTimeTooSkewed")))


class Time:
    def __init__(self) -> None:
        self.now_s = 100.0
        self.waits_s: list[float] = []

    def sleep(self, wait_s: float) -> None:
        self.waits_s.append(wait_s)
        self.now_s += wait_s


def test_waits_double_up_to_the_longest_and_jitter_never_halves_them_further() -> None:
    for chance, factor in ((1.0, 1.0), (0.0, 0.5)):
        time = Time()
        retrier = Retrier(clock=lambda: time.now_s, sleep=time.sleep, chance=lambda: chance)  # noqa: B023
        with pytest.raises(GaveUpError) as caught:
            retrier.call("x", lambda: _fail(Failure(status=503)))
        assert time.waits_s == [factor * wait_s for wait_s in (1, 2, 4, 8, 16, 32, *[60] * 7)]
        assert caught.value.tries == 14
        assert caught.value.elapsed_s == sum(time.waits_s)


def test_a_wait_is_never_shorter_than_asked() -> None:
    time = Time()
    failures = [Failure(status=503, retry_after_s=90), Failure(status=503, retry_after_s=0.1)]
    retrier = Retrier(clock=lambda: time.now_s, sleep=time.sleep, chance=lambda: 1.0)
    assert retrier.call("x", lambda: _fail(failures.pop(0)) if failures else "done") == "done"
    assert time.waits_s == [90, 2]


def test_progress_starts_the_counting_again() -> None:
    time, done = Time(), [0]

    def action() -> str:
        done[0] += 1
        if done[0] < 100:
            _fail(Failure())
        return "done"

    retrier = Retrier(clock=lambda: time.now_s, sleep=time.sleep)
    assert retrier.call("x", action, progress=lambda: done[0]) == "done"


def test_what_nobody_wants_any_more_is_not_tried_again() -> None:
    tries: list[int] = []

    def action() -> None:
        tries.append(1)
        _fail(Failure(status=503))

    with pytest.raises(RequestError):
        Retrier(sleep=lambda _: None).call("x", action, wanted=lambda: len(tries) < 3)
    assert len(tries) == 3


def test_lanes_halve_once_a_second_and_widen_one_by_one() -> None:
    now_s = [0.0]
    lanes = Lanes(start=8, most=10, clock=lambda: now_s[0])
    lanes.narrow()
    lanes.narrow()
    assert lanes.limit == 4
    now_s[0] = 2.0
    for _ in range(5):
        lanes.narrow()
        now_s[0] += 2
    assert lanes.limit == 1
    for _ in range(200):
        with lanes:
            pass
    assert lanes.limit == 10


@pytest.mark.parametrize(
    ("text", "seconds"), [("2", 2.0), ("0", 0.0), ("1.5", 1.5), (None, None), ("", None), ("-1", None), ("soon", None)]
)
def test_retry_after_is_seconds_or_nothing(text: str | None, seconds: float | None) -> None:
    assert retry_after_s(text) == seconds


def _fail(failure: Failure) -> str:
    raise refused("reading b2://b/k", failure)
