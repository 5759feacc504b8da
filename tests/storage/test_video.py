"""Videos in buckets, as libav reads and writes them through these file objects."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import av
import pytest

from storage.reader import ObjectReader
from storage.store import MIN_PART_BYTES
from storage.writer import ObjectWriter

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from storage.b2 import B2Store
    from tests.storage.server import Server

FRAMES = 120
BLOCK_BYTES = 256 << 10


@pytest.fixture(scope="module")
def packets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """About 5 MB of video, so that it is many blocks long."""
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(30))
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        stream.bit_rate = 12_000_000
        graph = av.filter.Graph()
        source = graph.add("testsrc2", "size=320x240:rate=30")
        noise = graph.add("noise", "alls=80:allf=t")
        sink = graph.add("buffersink")
        source.link_to(noise)
        noise.link_to(sink)
        graph.configure()
        for _ in range(FRAMES):
            frame = cast("av.VideoFrame", graph.pull()).reformat(format="yuv420p")
            frame.pts = None
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def remux(source: Path, target: BinaryIO | str, container: str, **options: str) -> None:
    with av.open(str(source)) as read, av.open(target, "w", format=container, options=options) as written:
        stream = written.add_stream_from_template(read.streams.video[0])
        for packet in read.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                written.mux(packet)


def sizes(file: BinaryIO | str) -> list[tuple[int | None, int]]:
    with av.open(file) as container:
        return [(packet.pts, packet.size) for packet in container.demux(video=0) if packet.size]


@pytest.mark.parametrize(("container", "opening"), [("mp4", 3), ("matroska", 2)])
def test_a_video_is_read_in_few_requests(
    server: Server, remote: B2Store, packets: Path, container: str, opening: int
) -> None:
    """The index of this MP4 is at its end: the beginning, the end and back again."""
    local = io.BytesIO()
    remux(packets, local, container)
    remote.put("clip", local.getvalue())
    blocks = -(-len(local.getvalue()) // BLOCK_BYTES)
    assert blocks >= 12
    server.reset()
    with ObjectReader(remote, "clip", block_bytes=BLOCK_BYTES) as file, av.open(cast("BinaryIO", file)) as opened:
        assert opened.streams.video[0].width == 320
    looked = server.counts()
    assert looked["HeadObject"] == 1
    assert looked["GetObject"] <= opening + 3  # with what is fetched ahead
    server.reset()
    with ObjectReader(remote, "clip", block_bytes=BLOCK_BYTES) as file:
        assert sizes(cast("BinaryIO", file)) == sizes(io.BytesIO(local.getvalue()))
    assert server.counts()["GetObject"] <= blocks + opening


@pytest.mark.parametrize(
    ("container", "options"),
    [("mp4", {}), ("mp4", {"moov_size": "100000"}), ("matroska", {"reserve_index_space": "50000"})],
)
def test_a_video_is_written_as_on_a_disk(
    remote: B2Store, packets: Path, tmp_path: Path, container: str, options: dict[str, str]
) -> None:
    """With the index kept free at the head and written last: the muxer goes forward, then back."""
    remux(packets, str(tmp_path / "local"), container, fflags="+bitexact", **options)
    with ObjectWriter(remote, "clip", part_bytes=lambda _: MIN_PART_BYTES, head_bytes=200_000) as file:
        remux(packets, cast("BinaryIO", file), container, fflags="+bitexact", **options)
    with ObjectReader(remote, "clip") as file_back:
        written = file_back.read()
    assert written == (tmp_path / "local").read_bytes()
    if "moov_size" in options:
        assert written.index(b"moov") < written.index(b"mdat")


def test_a_video_that_is_cut_on_its_way_is_whole(server: Server, remote: B2Store, packets: Path) -> None:
    remote.put("clip", packets.read_bytes())
    server.break_next({"op": "GetObject", "times": 8, "cut": 50_000})
    with ObjectReader(remote, "clip", block_bytes=BLOCK_BYTES) as file:
        assert sizes(cast("BinaryIO", file)) == sizes(str(packets))
    assert server.counts()["fault"] == 8


def test_a_failure_in_the_middle_reaches_whoever_reads(server: Server, remote: B2Store, packets: Path) -> None:
    remote.put("clip", packets.read_bytes())
    with ObjectReader(remote, "clip", block_bytes=BLOCK_BYTES) as file:
        server.break_next({"op": "GetObject", "skip": 5, "times": 99, "status": 403})
        with pytest.raises(PermissionError, match="check the key"):
            sizes(cast("BinaryIO", file))
