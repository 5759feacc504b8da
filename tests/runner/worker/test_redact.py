"""What is hidden in a worker's words, and what is not."""

from __future__ import annotations

import base64
import json
import logging
from urllib.parse import quote

import pytest

from runner.worker.events import LogBuffer
from runner.worker.redact import HIDDEN, Redactor

SECRET = "K004/secret+of=the run"
URL = "https://s3.example/b/k?X-Amz-Credential=AKIA%2F2026&X-Amz-Expires=60&X-Amz-Signature=0a1b2c"


@pytest.mark.parametrize(
    "told",
    [SECRET, quote(SECRET, safe=""), base64.b64encode(SECRET.encode()).decode(), f"key={SECRET}&b=1"],
)
def test_a_secret_is_hidden_in_every_dress(told: str) -> None:
    shown = Redactor([SECRET])(f"before {told} after")
    assert told not in shown
    assert shown.startswith("before ")
    assert shown.endswith(" after")
    assert HIDDEN in shown


def test_signatures_of_urls_are_hidden_and_the_rest_is_not() -> None:
    shown = Redactor()(f"GET {URL} failed")
    assert "0a1b2c" not in shown
    assert "AKIA" not in shown
    assert "https://s3.example/b/k" in shown
    assert "X-Amz-Expires=60" in shown


def test_an_empty_secret_hides_nothing() -> None:
    assert Redactor(["", ""])("as it was") == "as it was"


def test_nothing_of_a_terminal_is_left() -> None:
    assert Redactor()("a\x1b[31mred\x1b[0m\x07b\r") == "aredb"


def test_the_log_that_is_stored_is_hidden_too() -> None:
    lines = LogBuffer(Redactor([SECRET]))
    error = ValueError(SECRET)
    record = logging.LogRecord("x", logging.ERROR, "x.py", 1, f"it has {SECRET}", None, (ValueError, error, None))
    lines.handle(record)
    (line,) = lines.take()
    assert SECRET not in line
    assert json.loads(line)["level"] == "ERROR"
    assert lines.take() == []
    lines.put_back([line])
    assert lines.take() == [line]
