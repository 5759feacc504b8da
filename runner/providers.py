"""From the name of a provider to the provider."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.errors import UsageError

if TYPE_CHECKING:
    from runner.provider import Provider


def open_provider(name: str) -> Provider:
    """Ready to be asked. Raises `ProviderKeyError` where a key is needed and missing."""
    if name == "local":
        from runner.local import LocalProvider

        return LocalProvider()
    if name == "vast":
        from runner.vast.provider import VastProvider

        return VastProvider()
    raise UsageError(f"{name} is no provider; must be vast or local")
