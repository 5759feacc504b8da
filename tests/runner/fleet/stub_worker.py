"""A worker that computes nothing and obeys the records: events, commits last, `done.json` last of all.

Run as an instance would be: `FRAMEHAUL_BOOT_URL` is the path of its bootstrap, a JSON file. What it does is noted
in a ledger beside the bucket, which no part of the project reads: the test's own book of what really happened.
Only the standard library, so that hundreds start quickly.
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn


def main() -> NoReturn:
    boot = json.loads(Path(os.environ["FRAMEHAUL_BOOT_URL"]).read_text())
    worker = Worker(boot)
    worker.note("started")
    if worker.done.exists():
        worker.end()
    worker.tell("booting")
    if boot.get("refuses"):
        worker.tell("giving-up", message="this machine is slow")
        worker.end()
    for segment in boot["segments"]:
        worker.check_deadline()
        worker.do(segment)
    worker.join()
    worker.end()


class Worker:
    def __init__(self, boot: dict[str, Any]) -> None:
        self.boot = boot
        self.name = boot["worker"]
        self.folder = Path(boot["folder"])
        self.done = self.folder / "done.json"
        self.ledger = Path(boot["ledger"])
        self.ledger.mkdir(parents=True, exist_ok=True)
        self.events = 0
        self.frames = 0

    def do(self, segment: dict[str, int]) -> None:
        number = segment["number"]
        commit = self.folder / f"commit/{number:06d}.json"
        frames = segment["last"] - segment["first"]
        if not commit.exists():
            self.note(f"begun-{number}")
            time.sleep(self.boot.get("segment_s", 0.02))
            key = f"seg/{number:06d}/{self.name}.mkv"
            put(self.folder / key, f"segment {number}\n")
            facts = {
                "plan": self.boot["plan"], "number": number, "key": key, "size_bytes": 11, "sha256": "0",
                "frames": frames, "extradata_sha256": "0", "first_pts": segment["first"],
                "last_pts": segment["last"] - 1, "worker": self.name, "elapsed_s": 0.02,
            }  # fmt: skip
            put(commit, json.dumps(facts))
            self.note(f"done-{number}")
        self.frames += frames
        self.tell("processing", segment=number)

    def join(self) -> None:
        self.tell("joining")
        if self.done.exists():
            return
        commits = sorted((self.folder / "commit").glob("*.json"))
        keys = [json.loads(path.read_text())["key"] for path in commits]
        text = "".join((self.folder / key).read_text() for key in keys)
        put(Path(self.boot["output"]), text)
        self.note("output")
        facts = {"plan": self.boot["plan"], "ok": True, "frames": self.frames, "output_size_bytes": len(text)}
        put(self.done, json.dumps(facts))
        self.tell("done")

    def tell(self, state: str, **more: Any) -> None:
        facts = {
            "worker": self.name, "number": self.events, "time_s": time.time(), "state": state,
            "frames_done": self.frames, "fps": 50.0,
        }  # fmt: skip
        put(self.folder / f"events/{self.name}/{self.events:06d}.json", json.dumps(facts | more))
        self.events += 1
        self.check_deadline()

    def note(self, what: str) -> None:
        (self.ledger / f"{what}.{self.name}.{time.time_ns()}").touch()

    def check_deadline(self) -> None:
        if time.time() >= self.boot["deadline_s"]:
            self.end()

    def end(self) -> NoReturn:
        """As a worker ends: it destroys its own instance, and never returns to be started again."""
        url, key = self.boot.get("destroy_url"), os.environ.get("CONTAINER_API_KEY")
        if not url or not key:
            sys.exit(0)
        whole = f"{url}/api/v0/instances/{os.environ['CONTAINER_ID']}/"
        request = urllib.request.Request(  # noqa: S310
            whole, b"{}", {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}, method="DELETE"
        )
        while True:
            with suppress(OSError):
                urllib.request.urlopen(request, timeout=5).close()  # noqa: S310
            time.sleep(0.2)


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid():08x}.part")
    part.write_text(text)
    part.replace(path)


if __name__ == "__main__":
    main()
