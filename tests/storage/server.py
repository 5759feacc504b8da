"""A real S3 server for the whole run: tests/conftest.py hands its fixtures to every test."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import socket
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from storage.credentials import Credentials, make_credentials
from storage.retry import Retrier

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from storage.b2 import B2Store

REGION: Final = "us-west-004"
KEY: Final = "K004SecretThatNobodyMaySee"
SECRETS: Final = re.compile(r"K004\w+|X-Amz-Signature=\w|Signature=\w|4_token_")
"""Looked for in everything that the tests print: keys, signatures, B2's tokens."""
READ_TIMEOUT_S: Final = 2.0
PATIENT_S: Final = 60.0
"""For what is asked once, without another try: the machine may be busy."""


@dataclass(frozen=True)
class Server:
    """The running server, its keys and its controls."""

    url: str

    @property
    def credentials(self) -> Credentials:
        return make_credentials("test:worker", KEY, region=REGION, endpoint=self.url)

    @property
    def powerless(self) -> Credentials:
        """A key that is known and may do nothing."""
        return make_credentials("test:other", KEY, region=REGION, endpoint=self.url)

    def break_next(self, *rules: dict[str, Any]) -> None:
        """From now on, `rules` of swift_faults.py apply."""
        self._control("PUT", list(rules))

    def reset(self) -> None:
        self._control("DELETE")

    def counts(self) -> dict[str, int]:
        """How often each operation was asked for since the last reset."""
        counted: dict[str, int] = self._control("GET")["counts"]
        return counted

    def traffic(self) -> dict[str, tuple[int, int]]:
        """Bytes of all bodies by the id of the key that signed: `(sent to the server, sent back)`."""
        return {key: (up, down) for key, (up, down) in self._control("GET")["traffic"].items()}

    def make_key(
        self, bucket: str | None = None, *, prefix: str = "", capabilities: Collection[str] | None = None
    ) -> Credentials:
        """A key of its own, for whoever wants to look for its secret: one of the account, or one that may do less."""
        key_id, secret = f"test:{secrets.token_hex(12)}", f"K004{secrets.token_hex(14)}"
        told = {"bucket": bucket, "prefix": prefix, "capabilities": capabilities and sorted(capabilities)}
        self._control("POST", {"id": key_id, "secret": secret, **told})
        return make_credentials(key_id, secret, region=REGION, endpoint=self.url)

    def forget_key(self, key_id: str) -> None:
        self._control("POST", {"id": key_id})

    def _control(self, method: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/__control", method=method, data=data)  # noqa: S310
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return json.loads(answer.read())

    def retrier(self) -> Retrier:
        """Retries as always, without the waiting."""
        return Retrier(sleep=lambda _: None)

    def store(
        self,
        bucket: str,
        credentials: Credentials | None = None,
        retrier: Retrier | None = None,
        read_timeout_s: float = READ_TIMEOUT_S,
    ) -> B2Store:
        from storage.b2 import B2Store

        return B2Store(
            bucket,
            credentials or self.credentials,
            retrier=retrier or self.retrier(),
            read_timeout_s=read_timeout_s,
        )

    def new_bucket(self, *, versioned: bool) -> str:
        """The name of a fresh bucket."""
        name = f"bucket-{secrets.token_hex(6)}"
        client = self.store(name, read_timeout_s=PATIENT_S)._client
        client.create_bucket(Bucket=name)
        if versioned:
            client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        return name


def _free_ports() -> tuple[int, int]:
    """A port, and the first of three in a row."""
    while True:
        sockets = [socket.socket() for _ in range(4)]
        try:
            sockets[0].bind(("127.0.0.1", 0))
            sockets[1].bind(("127.0.0.1", 0))
            base = sockets[1].getsockname()[1]
            for offset, one in enumerate(sockets[2:], 1):
                one.bind(("127.0.0.1", base + offset))
            return sockets[0].getsockname()[1], base
        except (OSError, OverflowError):
            continue
        finally:
            for one in sockets:
                one.close()


def _start(folder: Path) -> tuple[subprocess.Popen[str], str]:
    port, base = _free_ports()
    script = Path(__file__).with_name("swift_server.py")
    keys = ["--key", f"worker:{KEY}", "--reader", f"other:{KEY}", "--region", REGION]
    command: list[str | Path] = [sys.executable, "-W", "ignore", script, folder, *keys]
    command += ["--port", str(port), "--base", str(base)]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    ready = process.stdout.readline()
    if ready != "READY\n":
        process.kill()
        process.communicate()
        return process, ""
    return process, f"http://127.0.0.1:{port}"


@pytest.fixture(scope="session")
def running_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    for _ in range(3):  # another program may take a port between its choice and its use
        folder = tmp_path_factory.mktemp("swift")
        process, url = _start(folder)
        if url:
            break
    else:
        pytest.fail(f"Swift did not start:\n{(folder / 'log').read_text()[-2000:]}")
    yield Server(url)
    process.terminate()
    process.communicate(timeout=20)
    shutil.rmtree(folder, ignore_errors=True)  # what many uploads leave is large


@pytest.fixture(scope="session")
def crowded(running_server: Server) -> tuple[str, list[str]]:
    """A bucket with 2,500 empty objects, three pages of a listing, and their keys in order."""
    bucket = running_server.new_bucket(versioned=False)
    store = running_server.store(bucket)
    names = [f"n/{number:04d}" for number in range(2500)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda name: store.put(name, b""), names))
    return bucket, names


@pytest.fixture
def server(running_server: Server) -> Iterator[Server]:
    """The server, without faults, before and after."""
    running_server.reset()
    yield running_server
    running_server.reset()


@pytest.fixture
def bucket(server: Server) -> str:
    """A bucket that keeps versions, as those of B2 do."""
    return server.new_bucket(versioned=True)


@pytest.fixture
def remote(server: Server, bucket: str) -> B2Store:
    return server.store(bucket)
