"""`runner` as a process of its own, as somebody at a terminal has it, and what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import av

from runner.local import LocalProvider

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

KEPT: Final = ("PATH", "LANG", "NUMBA_CACHE_DIR", "CUDA_VISIBLE_DEVICES")
"""What a command has of the tests' environment."""
LONG_S: Final = 120.0
"""How long anything may take on a busy machine before a test fails."""


@dataclass(kw_only=True)
class Desk:
    """A machine with state of its own, on which commands are run."""

    home: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        places = {"XDG_STATE_HOME": "state", "XDG_CONFIG_HOME": "config", "HOME": "home"}
        own = {name: str(self.home / folder) for name, folder in places.items()}
        # The machines on offer have GPUs, the processes that stand for them have none.
        return kept | own | {"FRAMEHAUL_ENCODER": "software"} | dict(self.variables)

    def start(self, *words: str | Path) -> subprocess.Popen[str]:
        (self.home / "home").mkdir(exist_ok=True)
        command = [sys.executable, "-m", "runner", *map(str, words)]
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=self.environment, cwd=self.home,
        )  # fmt: skip

    def run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        with self.start(*words) as process:
            out, err = process.communicate(timeout=LONG_S)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def json(self, *words: str | Path) -> Any:
        done = self.run(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def json_of(self, *words: str | Path) -> Any:
        """What `--json` prints, however the command ended."""
        return json.loads(self.run(*words, "--json").stdout)

    @property
    def provider(self) -> LocalProvider:
        return LocalProvider(self.home / "state/framehaul/instances")

    def workers(self) -> list[int]:
        """Processes of the workers that run now."""
        return [pid for one in self.provider.instances() for pid in processes_of(one.id)]

    def run_name(self) -> str:
        """The one run that this desk has begun."""
        (name,) = (path.stem for path in (self.home / "state/framehaul/runs").glob("*.json"))
        return name

    def committed(self) -> int:
        return len(list((self.home / "state/framehaul/bucket/runs").glob("*/commit/*.json")))


def processes_of(instance: str) -> list[int]:
    from runner.local import _processes_of

    return _processes_of(instance)


def until(condition: Callable[[], Any], *, watched: subprocess.Popen[str] | None = None) -> Any:
    """Wait until `condition` holds, while the process that should bring it about lives."""
    end = time.monotonic() + LONG_S
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        assert watched is None or watched.poll() is None, watched.communicate()
        time.sleep(0.02)
    return found


def kill(process: subprocess.Popen[str]) -> None:
    """SIGKILL, as a laptop whose battery is empty."""
    process.send_signal(signal.SIGKILL)
    process.communicate()


def frames(path: Path) -> list[tuple[int, bytes]]:
    """Time and samples of every decoded frame."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        base = stream.time_base
        assert base is not None
        return [
            (round(frame.pts * base * 1_000_000), frame.to_ndarray().tobytes()) for frame in container.decode(stream)
        ]


def audio(path: Path) -> list[bytes]:
    """The packets of the sound, as they are stored."""
    with av.open(path) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]
