"""A network of known speed: a TCP proxy that lets so many bytes a second through in each direction.

    python rate_proxy.py PORT

Prints its own port. Every line on standard input is `{"down": bytes a second or null, "up": ...}`: the rates from now
on, all connections together. Each is answered by the bytes that went through before, `{"down": n, "up": n}`.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

CHUNK_BYTES: Final = 64 << 10


class Direction:
    """A pipe that everybody shares."""

    def __init__(self) -> None:
        self.rate: float | None = None
        """Bytes a second."""
        self.passed = 0
        self._free_s = 0.0

    async def pass_on(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(CHUNK_BYTES):
                self.passed += len(data)
                if self.rate is not None:
                    now_s = time.monotonic()
                    self._free_s = max(self._free_s, now_s) + len(data) / self.rate
                    await asyncio.sleep(self._free_s - now_s)
                target.write(data)
                await target.drain()
        with suppress(OSError):
            target.close()


async def serve(port: int) -> None:
    down, up = Direction(), Direction()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(up.pass_on(reader, back), down.pass_on(there, writer))

    server = await asyncio.start_server(connect, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := await commands.readline():
        sys.stdout.write(json.dumps({"down": down.passed, "up": up.passed}) + "\n")
        sys.stdout.flush()
        rates = json.loads(line)
        down.rate, up.rate = rates["down"], rates["up"]
        down.passed = up.passed = 0


class RateProxy:
    """The proxy as a process, in front of `port` of this machine; for a `with` block."""

    def __init__(self, port: int) -> None:
        command = [sys.executable, str(Path(__file__)), str(port)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{self._answer()}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def limit(self, *, down: float | None = None, up: float | None = None) -> tuple[int, int]:
        """Let so many bytes a second through from now on; how many there were down and up before."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"down": down, "up": up}) + "\n")
        self._process.stdin.flush()
        told = json.loads(self._answer())
        return told["down"], told["up"]

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
