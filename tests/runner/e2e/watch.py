"""Looks at every process of this machine, again and again, for what no other process may read in it."""

from __future__ import annotations

import re
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

PAUSE_S: Final = 0.05
SIGNED: Final = re.compile(rb"(?i)X-Amz-(?:Signature|Credential)(?:=|%3D)|[?&]Signature=")
"""What makes a URL more than a name."""
ALLOWED: Final = (b"FRAMEHAUL_BOOT_URL=", b"CONTAINER_API_KEY=")
"""In the environment of a rented machine: the one URL that we give to it, and the key that the market gives to it."""


class ProcessWatch:
    """Within a `with` block, keeps the environment and the arguments of all processes there are."""

    def __init__(self) -> None:
        self._told: set[bytes] = set()
        self._containers: set[bytes] = set()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    @property
    def containers(self) -> int:
        """How many different environments of rented machines were seen."""
        return len(self._containers)

    def find(self, secrets: list[str]) -> list[bytes]:
        """Variables and arguments with one of `secrets`; and those of rented machines with a signature."""
        wanted = re.compile(b"|".join(re.escape(one.encode()) for one in secrets))
        found = [text for text in self._told for word in text.split(b"\0") if wanted.search(word)]
        signed = [
            word
            for text in self._containers
            for word in text.split(b"\0")
            if SIGNED.search(word) and not word.startswith(ALLOWED)
        ]
        return found + signed

    def _run(self) -> None:
        while not self._end.wait(PAUSE_S):
            for folder in Path("/proc").iterdir():
                if folder.name.isdecimal():
                    with suppress(OSError):
                        self._keep((folder / "environ").read_bytes(), (folder / "cmdline").read_bytes())

    def _keep(self, environ: bytes, arguments: bytes) -> None:
        words = environ.split(b"\0")
        if any(word.startswith(b"CONTAINER_ID=") for word in words):
            self._containers.add(environ + arguments)
            environ = b"\0".join(word for word in words if not word.startswith(ALLOWED))
        self._told.add(environ + b"\0" + arguments)
