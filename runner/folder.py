"""Where everything of a run lies in its bucket (or local folder): the one place that makes these names.

    ctl/<run>/plan.json          the plan; machines may only read it
    ctl/<run>/index              every frame's pts, for the finaliser
    ctl/<run>/boot/<slot>.json   bootstrap of one machine, behind one presigned URL; deleted with its keys
    ctl/<run>/ticket.json        who asked for the run, where its input came from and its output goes
    ctl/<run>/rent/<label>.json  one per instance it has had: what it costs, and when it was proven gone
    ctl/<run>/end.json           nothing of it may be rented any more: it is finished, cancelled or given up
    runs/<run>/seg/<number>/<attempt>.nut
    runs/<run>/commit/<number>.json
    runs/<run>/events/<worker>/<number>.json
    runs/<run>/log/<worker>/<number>.jsonl
    runs/<run>/done.json

`ctl/` is apart from `runs/` because machines hold a key for `runs/<run>/`, and must change no plan and read no
other machine's bootstrap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from storage.uri import LocalUri, ObjectUri

if TYPE_CHECKING:
    from storage.uri import Uri


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFolder:
    """The names of one run."""

    root: LocalUri | ObjectUri
    """A bucket, a folder of one, or a local folder that stands for a bucket."""
    run: str

    @property
    def control(self) -> Uri:
        return self._under(f"ctl/{self.run}/")

    @property
    def work(self) -> Uri:
        """What a machine may read, write and list."""
        return self._under(f"runs/{self.run}/")

    @property
    def plan(self) -> Uri:
        return self._under(f"ctl/{self.run}/plan.json")

    @property
    def index(self) -> Uri:
        return self._under(f"ctl/{self.run}/index")

    @property
    def boots(self) -> Uri:
        return self._under(f"ctl/{self.run}/boot/")

    def boot(self, slot: str) -> Uri:
        return self._under(f"ctl/{self.run}/boot/{slot}.json")

    @property
    def ticket(self) -> Uri:
        return self._under(f"ctl/{self.run}/ticket.json")

    def rent(self, label: str) -> Uri:
        return self._under(f"ctl/{self.run}/rent/{label}.json")

    @property
    def end(self) -> Uri:
        return self._under(f"ctl/{self.run}/end.json")

    @staticmethod
    def segment_name(number: int, attempt: str) -> str:
        """Below `work`; unique per attempt, so that no attempt ever overwrites another's object."""
        return f"seg/{number:06d}/{attempt}.nut"

    @staticmethod
    def commit_name(number: int) -> str:
        return f"commit/{number:06d}.json"

    @staticmethod
    def event_name(worker: str, number: int) -> str:
        return f"events/{worker}/{number:06d}.json"

    @staticmethod
    def log_name(worker: str, number: int) -> str:
        return f"log/{worker}/{number:06d}.jsonl"

    DONE = "done.json"

    def object(self, name: str) -> Uri:
        """What is called `name` below `work`."""
        return self._under(f"runs/{self.run}/{name}")

    def _under(self, name: str) -> Uri:
        if isinstance(self.root, LocalUri):
            return LocalUri(self.root.path / name.rstrip("/"), folder=name.endswith("/"))
        base = self.root.key if not self.root.key or self.root.key.endswith("/") else f"{self.root.key}/"
        return ObjectUri(
            self.root.scheme, self.root.bucket, base + name, endpoint=self.root.endpoint, region=self.root.region
        )
