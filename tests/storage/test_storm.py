"""Many faults at once, chosen by chance and repeatable: what was written is what is read, and nothing is left over."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest

from storage.place import Place, Source
from storage.reader import ObjectReader
from storage.store import MIN_PART_BYTES
from storage.sweep import find_uploads, remove
from storage.transfer import copy_object
from storage.writer import ObjectWriter
from tests.storage.server import REGION

if TYPE_CHECKING:
    from pathlib import Path

    from storage.b2 import B2Store
    from tests.storage.server import Server

MIB: Final = 1 << 20
FAULTS: Final[tuple[dict[str, Any], ...]] = (
    {"status": 503, "code": "ServiceUnavailable"},
    {"status": 503, "code": "SlowDown", "headers": [["Retry-After", "1"]]},
    {"status": 500},
    {"after": 1},
    {"lose": 1},
    {"reset": 1},
    {"cut": 70_000},
    {"delay": 0.1},
)
OPERATIONS: Final = (
    "CreateMultipartUpload",
    "UploadPart",
    "CompleteMultipartUpload",
    "PutObject",
    "HeadObject",
    "GetObject",
    "ListParts",
)


def storm(seed: int, count: int) -> list[dict[str, Any]]:
    chance = random.Random(seed)
    made = []
    for _ in range(count):
        operation = chance.choice(OPERATIONS)
        fault = chance.choice([one for one in FAULTS if "cut" not in one or operation == "GetObject"])
        made.append({"op": operation, "skip": chance.randrange(4)} | fault)
    return made


@pytest.mark.parametrize("seed", [0, *[pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 4)]])
def test_every_byte_survives(server: Server, remote: B2Store, seed: int) -> None:
    chance = random.Random(seed)
    server.break_next(*storm(seed, 40))
    for number in range(3):
        data = bytearray(chance.randbytes(chance.randrange(12, 24) * MIB + chance.randrange(1000)))
        with ObjectWriter(
            remote, f"clip{number}", part_bytes=lambda _: MIN_PART_BYTES, head_bytes=MIN_PART_BYTES
        ) as file:
            file.write(data)
            file.seek(100)
            file.write(b"changed")
        data[100:107] = b"changed"
        remote.put(f"small{number}", data[:1000])
        with ObjectReader(remote, f"clip{number}", block_bytes=MIB) as back:
            assert hashlib.sha256(back.read()).digest() == hashlib.sha256(data).digest()
        info = remote.head(f"clip{number}")
        copied = copy_object(Source(remote, info), Place(remote, f"copy{number}"))
        assert copied.size_bytes == len(data)
        with ObjectReader(remote, f"copy{number}", block_bytes=3 * MIB) as back:
            assert back.read() == data
    assert server.counts()["fault"] >= 10
    server.reset()
    # A beginning whose answer was lost leaves an upload that nobody knows; sweeping finds it.
    for litter in find_uploads(remote, now=datetime.now(UTC) + timedelta(days=8)):
        remove(remote, litter)
    assert list(remote.list_uploads()) == []
    assert len(list(remote.list())) == 9


WRITER: Final = """
    import os, sys
    import storage
    with storage.open(sys.argv[1], "wb", overwrite=True) as file:
        for number in range(1000):
            file.write(os.urandom(1 << 20))
            print(number, flush=True)
"""


def test_a_killed_writer_leaves_the_old_object_and_nothing_after_a_sweep(
    server: Server, remote: B2Store, tmp_path: Path
) -> None:
    remote.put("clip", b"old")
    environment = {
        **os.environ,
        "B2_APPLICATION_KEY_ID": server.credentials.key_id,
        "B2_APPLICATION_KEY": server.credentials.key,
        "B2_REGION": REGION,
        "B2_ENDPOINT": server.url,
        "XDG_STATE_HOME": str(tmp_path),
    }
    command = [sys.executable, "-c", textwrap.dedent(WRITER), f"b2://{remote.bucket}/clip"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for _ in range(60):
            assert child.stdout.readline()
        child.send_signal(signal.SIGKILL)
    with ObjectReader(remote, "clip") as file:
        assert file.read() == b"old"
    [left] = find_uploads(remote, now=datetime.now(UTC) + timedelta(days=8))
    assert left.key == "clip"
    remove(remote, left)
    assert list(remote.list_uploads()) == []
    assert [one.info.size_bytes for one in remote.list_versions()] == [3]
