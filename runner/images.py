"""Which container images are ours: what a machine is started with, and what reaping knows its instances by."""

from __future__ import annotations

from typing import Final

REPOSITORY: Final = "framehaul/worker"
OUR_IMAGES: Final = frozenset({REPOSITORY, "local"})
"""Without tags. Images that a user names are known from this machine's journal and from `image` in the settings."""


def default_image() -> str:
    """The worker's image that was released with this version."""
    from importlib.metadata import version

    return f"{REPOSITORY}:{version('framehaul')}"
