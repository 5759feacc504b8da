"""Which container images are ours: what a machine is started with, and what reaping knows its instances by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

REPOSITORY: Final = "framehaul/worker"
OUR_IMAGES: Final = frozenset({REPOSITORY, "local"})
"""Without tags. Images that a user names are known from this machine's journal and from `image` in the settings."""


def default_image() -> str:
    """The worker's image that was released with this version."""
    from importlib.metadata import version

    return f"{REPOSITORY}:{version('framehaul')}"


def is_one_of(image: str, images: Iterable[str]) -> bool:
    """Whether `image` is one of `images`. A tag or digest makes no other image."""
    return repository(image) in {repository(one) for one in images}


def repository(image: str) -> str:
    """`a/b` of `a/b:tag` and of `a/b@sha256:...`, with a registry before it or not."""
    name = image.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return head + slash + last.partition(":")[0]
