"""Uploads that are under way, so that they can be dropped from outside when there is no time to wait."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from storage.errors import StorageError
from storage.folder import FolderStore
from storage.place import Place

if TYPE_CHECKING:
    from storage.store import ObjectInfo, ObjectStore


class OpenUploads:
    """Those begun through places that were given to `watch`, and not yet ended."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], ObjectStore] = {}

    def watch(self, place: Place) -> Place:
        """The same place; uploads to it are known here."""
        if isinstance(place.store, FolderStore):
            return place
        return Place(cast("ObjectStore", _Watched(place.store, self._open)), place.key)

    def abort(self, limit_s: float) -> None:
        """Abort them all, for at most `limit_s`: what is left then is for `runner gc`."""

        def work() -> None:
            for (key, upload), store in list(self._open.items()):
                with suppress(StorageError):
                    store.abort_upload(key, upload)

        thread = threading.Thread(target=work, name="abort", daemon=True)
        thread.start()
        thread.join(limit_s)


class _Watched:
    """A store that notes when an upload begins and when it ends."""

    def __init__(self, store: ObjectStore, noted: dict[tuple[str, str], ObjectStore]) -> None:
        self._store = store
        self._noted = noted

    def create_upload(self, key: str, **more: Any) -> str:
        upload = self._store.create_upload(key, **more)
        self._noted[key, upload] = self._store
        return upload

    def complete_upload(self, key: str, upload: str, *parts: Any, **more: Any) -> ObjectInfo:
        done = self._store.complete_upload(key, upload, *parts, **more)
        self._noted.pop((key, upload), None)
        return done

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)
