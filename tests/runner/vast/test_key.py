"""Where the key comes from, where it may go, and that it never shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runner.errors import ProviderKeyError, RefusedError
from runner.vast.key import URL, ApiKey, find_key, find_url, key_paths

if TYPE_CHECKING:
    from pathlib import Path


def test_order(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path)}
    new, old = key_paths(environment)
    with pytest.raises(ProviderKeyError, match="set VAST_API_KEY, or write it into"):
        find_key(environment)
    old.write_text("from-old\n")
    assert find_key(environment).secret == "from-old"
    new.parent.mkdir(parents=True)
    new.write_text("  from-new \n")
    assert find_key(environment) == ApiKey(secret="from-new", origin=str(new))  # noqa: S106
    assert find_key(environment | {"VAST_API_KEY": "from-variable"}).origin == "VAST_API_KEY"
    assert find_key(environment | {"VAST_API_KEY": " "}).secret == "from-new"
    other = tmp_path / "elsewhere" / "vastai" / "vast_api_key"
    other.parent.mkdir(parents=True)
    other.write_text("from-xdg")
    assert find_key(environment | {"XDG_CONFIG_HOME": str(tmp_path / "elsewhere")}).secret == "from-xdg"


@pytest.mark.parametrize("secret", ["two words", "a\nb", "é", ""])
def test_what_can_be_no_key(secret: str) -> None:
    with pytest.raises(ProviderKeyError, match="from the test has a space") as caught:
        ApiKey(secret=secret, origin="the test")
    assert not secret or secret not in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    new, _ = key_paths({"HOME": str(tmp_path)})
    new.mkdir(parents=True)
    with pytest.raises(ProviderKeyError, match=r"cannot be read: Is a directory; set VAST_API_KEY"):
        find_key({"HOME": str(tmp_path)})


def test_it_never_shows() -> None:
    key = ApiKey(secret="SECRETkey", origin="the test")  # noqa: S106
    assert "SECRET" not in repr(key) + str(key) + f"{key}"


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ({}, URL),
        ({"VAST_URL": ""}, URL),
        ({"VAST_URL": "https://example.com/"}, "https://example.com"),
        ({"VAST_URL": "http://127.0.0.1:9000"}, "http://127.0.0.1:9000"),
        ({"VAST_URL": "http://localhost:9000"}, "http://localhost:9000"),
        ({"VAST_URL": "http://[::1]:9000"}, "http://[::1]:9000"),
    ],
)
def test_url(given: dict[str, str], used: str) -> None:
    assert find_url(given) == used


@pytest.mark.parametrize(
    "url", ["http://console.vast.ai", "ftp://x", "console.vast.ai", "https://me@x", "https://x?k=1"]
)
def test_a_key_is_not_sent_just_anywhere(url: str) -> None:
    with pytest.raises(RefusedError, match="VAST_URL is no https:// address"):
        find_url({"VAST_URL": url})
