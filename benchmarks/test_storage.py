"""Object storage against boto3's own transfers and the server's raw speed, on loopback; memory; requests by class.

FRAMEHAUL_BENCH_OBJECT_MB   size of the object that goes up and down (128)
FRAMEHAUL_BENCH_STREAM_MB   size of the stream whose memory is measured (256; the goal is for 4000)
"""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import av
import boto3
import numpy as np
import pytest
from botocore.config import Config

from benchmarks.conftest import ROOT, keep
from storage.place import Place, Source
from storage.reader import ObjectReader
from storage.store import Grant
from storage.transfer import copy_object
from storage.uri import parse
from storage.writer import ObjectWriter
from tests.storage.server import REGION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from benchmarks.conftest import Bench
    from storage.b2 import B2Store
    from tests.storage.server import Server

MB: Final = 1_000_000
MIB: Final = 1 << 20
OBJECT_BYTES: Final = int(os.environ.get("FRAMEHAUL_BENCH_OBJECT_MB", "128")) * MB
STREAM_BYTES: Final = int(os.environ.get("FRAMEHAUL_BENCH_STREAM_MB", "256")) * MB
PIECE_BYTES: Final = 16 * MIB
CONNECTIONS: Final = 4
GOAL: Final = 1.0
MEMORY_GOAL_BYTES: Final = 300 * MB
VIDEO_BYTES: Final = 152 * MB

CLASS_A: Final = frozenset(
    {
        "PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "AbortMultipartUpload",
        "DeleteObject",
    }
)  # fmt: skip
"""Free at B2."""
CLASS_B: Final = frozenset({"GetObject", "HeadObject"})
"""0.004 USD for 10,000, the first 2,500 of a day free. All others are of class C: 0.004 USD for 1,000."""


@pytest.fixture
def store(server: Server) -> B2Store:
    """A bucket without versions, so that what is measured does not pile up."""
    return server.store(server.new_bucket(versioned=False))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "object.bin"
    path.write_bytes(os.urandom(OBJECT_BYTES))
    return path


@pytest.fixture
def boto(server: Server) -> Any:
    """A client as its documentation has it."""
    key = server.credentials
    return boto3.Session(key.key_id, key.key, region_name=REGION).client(
        "s3", endpoint_url=server.url, config=Config(s3={"addressing_style": "path"}, max_pool_connections=20)
    )


def local(path: Path) -> Place:
    from storage.place import place_of

    return place_of(parse(path))


def source(place: Place) -> Source:
    return Source(place.store, place.store.head(place.key))


def raw(url: str, method: str, *, headers: dict[str, str] | None = None, body: bytes | None = None) -> int:
    """One request and its answer, thrown away: what the server needs for it. Bytes of the answer."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    connection.request(method, f"{parts.path}?{parts.query}", body=body, headers=headers or {})
    answer = connection.getresponse()
    assert answer.status in {200, 206}, answer.read()
    room, size = bytearray(MIB), 0
    while count := answer.readinto(room):
        size += count
    connection.close()
    return size


def pieces() -> Iterator[tuple[int, int]]:
    for start in range(0, OBJECT_BYTES, PIECE_BYTES):
        yield start, min(start + PIECE_BYTES, OBJECT_BYTES)


def rate(seconds: float) -> float:
    return round(OBJECT_BYTES / MB / seconds, 1)


def compare(bench: Bench, name: str, ours: Callable[[], object], peers: Mapping[str, Callable[[], object]]) -> None:
    bench.compare(
        name,
        ours,
        {peer: bench.here(function) for peer, function in peers.items()},
        goal=GOAL,
        object_bytes=OBJECT_BYTES,
        picture=None,
    )


def test_up(bench: Bench, store: B2Store, file: Path, boto: Any) -> None:
    data = file.read_bytes()

    def ours() -> None:
        copy_object(source(local(file)), Place(store, "ours"))

    def boto3_upload() -> None:
        boto.upload_file(str(file), store.bucket, "boto3")

    def raw_parts() -> None:
        upload = store.create_upload("raw")

        def send(number: int, start: int, stop: int) -> None:
            url = store.presign(Grant.UPLOAD_PART, "raw", expires_s=600, upload=upload, part=number)
            raw(url, "PUT", body=data[start:stop])

        with ThreadPoolExecutor(CONNECTIONS) as pool:
            list(pool.map(lambda one: send(one[0], *one[1]), enumerate(pieces(), 1)))
        store.abort_upload("raw", upload)

    ours()
    compare(bench, "storage_up", ours, {"boto3 upload_file": boto3_upload, "raw parts, 4 connections": raw_parts})


def test_down(bench: Bench, store: B2Store, file: Path, boto: Any, tmp_path: Path) -> None:
    copy_object(source(local(file)), Place(store, "clip"))

    def ours() -> None:
        copy_object(source(Place(store, "clip")), local(tmp_path / "ours"))

    def boto3_download() -> None:
        boto.download_file(store.bucket, "clip", str(tmp_path / "boto3"))

    def boto3_download_kept() -> None:
        boto3_download()
        with (tmp_path / "boto3").open("rb") as made:  # as ours, which ends when the bytes are on the disk
            os.fsync(made.fileno())

    def raw_ranges() -> None:
        url = store.presign(Grant.GET, "clip", expires_s=600)
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            sizes = pool.map(lambda one: raw(url, "GET", headers={"Range": f"bytes={one[0]}-{one[1] - 1}"}), pieces())
            assert sum(sizes) == OBJECT_BYTES

    ours()
    peers = {
        "boto3 download_file and fsync": boto3_download_kept,
        "boto3 download_file": boto3_download,
        "raw ranges, 4 connections": raw_ranges,
    }
    compare(bench, "storage_down", ours, peers)
    assert (tmp_path / "ours").read_bytes() == file.read_bytes()


def test_memory_of_a_stream(store: B2Store, server: Server) -> None:
    """A process that writes a stream and reads it back: its largest size, and what it is without doing so."""
    program = """
import os, re, sys
from pathlib import Path
import storage
location, size = sys.argv[1], int(sys.argv[2])
block = os.urandom(1 << 20)
def peak():  # of this process alone: what getrusage says begins with its parent's
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
storage.exists(location)
before = peak()
with storage.open(location, "wb") as file:
    for start in range(0, size, len(block)):
        file.write(block[:size - start])
writing = peak()
with storage.open(location) as file:
    while file.read(1 << 20):
        pass
print(before, writing, peak())
"""
    key = server.credentials
    keys = {"B2_APPLICATION_KEY_ID": key.key_id, "B2_APPLICATION_KEY": key.key, "B2_ENDPOINT": server.url}
    words = [sys.executable, "-c", program, f"b2://{store.bucket}/stream", str(STREAM_BYTES)]
    done = subprocess.run(
        words, env=os.environ | keys | {"B2_REGION": REGION}, cwd=ROOT, check=True, capture_output=True, text=True
    )
    before, writing, both = map(int, done.stdout.split())
    assert store.head("stream").size_bytes == STREAM_BYTES
    keep(
        {
            "name": "storage_memory",
            "stream_bytes": STREAM_BYTES,
            "peak_bytes": both,
            "peak_writing_bytes": writing,
            "before_bytes": before,
            "goal_bytes": MEMORY_GOAL_BYTES,
            "picture": None,
        }
    )


def test_requests(store: B2Store, server: Server, tmp_path: Path) -> None:
    """How often the store is asked, by the class that B2 bills."""
    path = write_video(tmp_path / "clip.mp4")
    found: dict[str, dict[str, Any]] = {}

    def count(name: str, goal: int | None = None) -> None:
        found[name] = billed(server.counts()) | {"goal": goal}
        server.reset()

    server.reset()
    copy_object(source(local(path)), Place(store, "clip.mp4"))
    count("cp up, 152 MB")
    with ObjectReader(store, "clip.mp4") as file, av.open(file, "r", buffer_size=MIB) as container:
        found["open an MP4 with its index at the end"] = billed(server.counts()) | {"goal": 4}
        packets = sum(packet.size > 0 for packet in container.demux(video=0))
    count("open it and read all of it, 152 MB", 25)
    with ObjectWriter(store, "out.mp4") as writer:
        writer.write(path.read_bytes())
    count("write 152 MB")
    copy_object(source(Place(store, "clip.mp4")), local(tmp_path / "down"))
    count("cp down, 152 MB")
    for n in range(3):
        store.put(f"list/{n}", b"")
    server.reset()
    assert len(list(store.list("list/"))) == 3
    count("ls of up to 1,000 objects")
    store.delete("out.mp4")
    count("rm of one object")
    assert packets == frames_of(path)
    keep({"name": "storage_requests", "requests": found, "picture": None})


def billed(operations: dict[str, int]) -> dict[str, Any]:
    """Requests so far, by class."""
    classes = {"A": 0, "B": 0, "C": 0}
    for operation, times in operations.items():
        classes["A" if operation in CLASS_A else "B" if operation in CLASS_B else "C"] += times
    return {"requests": sum(operations.values()), "classes": classes, "operations": dict(operations)}


def write_video(path: Path) -> Path:
    """152 MB of MJPEG noise in an MP4 whose index stands at its end: one packet, again and again."""
    noise = np.random.default_rng(3).integers(0, 256, (720, 640), dtype=np.uint8)
    with av.open(path, "w") as container:
        stream = container.add_stream("mjpeg", rate=25, options={"qmin": "1", "qmax": "1"})
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuvj420p"
        [packet] = [*stream.encode(av.VideoFrame.from_ndarray(noise, format="yuvj420p")), *stream.encode(None)]
        data = bytes(packet)
        for n in range(-(-VIDEO_BYTES // len(data))):
            one = av.Packet(data)
            one.stream, one.pts, one.dts, one.duration, one.time_base = stream, n, n, 1, packet.time_base
            one.is_keyframe = True
            container.mux(one)
    return path


def frames_of(path: Path) -> int:
    with av.open(path) as container:
        return container.streams.video[0].frames
