"""Locations: read as they were written, written as they were read, and refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import UriError
from storage.uri import LocalUri, ObjectUri, WebUri, parse

KEYS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=80)


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("clip.mp4", LocalUri(Path("clip.mp4"))),
        ("folder/", LocalUri(Path("folder"), folder=True)),
        ("/data/a b+c.mp4", LocalUri(Path("/data/a b+c.mp4"))),
        ("file:///data/a%20b%2Bc.mp4", LocalUri(Path("/data/a b+c.mp4"))),
        ("b2://bucket/a b+c%20//../ü?.mp4", ObjectUri("b2", "bucket", "a b+c%20//../ü?.mp4")),
        ("B2://bucket", ObjectUri("b2", "bucket", "")),
        ("b2://my.bucket-1/x/", ObjectUri("b2", "my.bucket-1", "x/")),
        ("b2://bucket/x?endpoint=http://h", ObjectUri("b2", "bucket", "x?endpoint=http://h")),
        (
            "s3://bucket/k.mp4?endpoint=http://127.0.0.1:9000&region=us-west-004",
            ObjectUri("s3", "bucket", "k.mp4", "http://127.0.0.1:9000", "us-west-004"),
        ),
        ("s3://bucket/why?.mp4", ObjectUri("s3", "bucket", "why?.mp4")),
        ("s3://bucket/why??", ObjectUri("s3", "bucket", "why?")),
        ("https://host/a%20b.mp4?x=1", WebUri("https://host/a%20b.mp4?x=1")),
    ],
)
def test_a_location_is_what_it_says(text: str, uri: object) -> None:
    assert parse(text) == uri
    assert parse(str(parse(text))) == uri


@given(key=KEYS, endpoint=st.sampled_from([None, "http://127.0.0.1:9000", "https://s3.example.com"]))
def test_every_key_survives_being_written(key: str, endpoint: str | None) -> None:
    for uri in (ObjectUri("b2", "bucket", key), ObjectUri("s3", "bucket", key, endpoint)):
        assert parse(str(uri)) == uri


@pytest.mark.parametrize(
    ("text", "name", "stem", "suffix"),
    [
        ("/data/my clip.tar.gz", "my clip.tar.gz", "my clip.tar", ".gz"),
        ("b2://bucket/a/b.mp4", "b.mp4", "b", ".mp4"),
        ("b2://bucket/a/b/", "b", "b", ""),
        ("b2://bucket", "", "", ""),
        ("https://host/a/my%20clip.mp4?sig=1", "my clip.mp4", "my clip", ".mp4"),
    ],
)
def test_its_names(text: str, name: str, stem: str, suffix: str) -> None:
    uri = parse(text)
    assert (uri.name, uri.stem, uri.suffix) == (name, stem, suffix)


def test_children() -> None:
    assert str(ObjectUri("b2", "bucket", "a/").child("b.mp4")) == "b2://bucket/a/b.mp4"
    assert str(ObjectUri("b2", "bucket", "a").child("b.mp4")) == "b2://bucket/a/b.mp4"
    assert str(ObjectUri("b2", "bucket").child("b.mp4")) == "b2://bucket/b.mp4"
    assert LocalUri(Path("a")).child("b") == LocalUri(Path("a/b"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("a\0b", "empty"),
        ("ftp://host/x", "ftp:// is not known"),
        ("b2://", "no bucket"),
        ("b2:///key", "no bucket"),
        ("b2://a/key", "is no bucket's name"),
        ("b2://bad_bucket!/key", "is no bucket's name"),
        ("b2://bucket/" + "x" * 1025, "too long"),
        ("s3://bucket/k?endpoint=nonsense", "endpoint must be"),
        ("s3://bucket/k?endpoint=http://me:secret@host", "endpoint must be"),
        ("file://elsewhere/x", "another machine"),
        ("http:///x", "needs a host"),
        ("http://[::1/x", "needs a host"),
    ],
)
def test_what_is_none_is_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(UriError, match=said) as caught:
        parse(text)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_signed_url_does_not_show_its_signature() -> None:
    url = "https://user:pass@host/b/clip.mp4?X-Amz-Signature=abcdef&X-Amz-Credential=key"
    uri = parse(url)
    assert isinstance(uri, WebUri)
    assert uri.url == url
    for shown in (str(uri), repr(uri)):
        assert "host/b/clip.mp4" in shown
        assert not any(secret in shown for secret in ("abcdef", "user", "pass", "key"))
