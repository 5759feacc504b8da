"""An instance of the fake Vast.ai: a child process on this machine, its states, and what it costs."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tests.runner.vast.clocks import Clock

HOUR_S: Final = 3600.0
MONTH_H: Final = 720.0
# The reader of the pipe kills the container's processes when whoever holds the other end is gone, however it died.
_CONTAINER: Final = 'exec 3<&0 </dev/null; { read _ <&3; kill -9 0; } & exec 3<&-; exec "$@"'


@dataclass(frozen=True, kw_only=True)
class Image:
    """What a name in a registry stands for here."""

    entrypoint: tuple[str, ...] = (sys.executable, "-m", "runner", "worker")
    env: dict[str, str] = field(default_factory=dict)
    """Set in the image itself."""
    login: str | None = None
    """What `image_login` has to be, for private images."""
    pull_error: str | None = None
    """What the host says when it cannot be pulled."""
    start_error: str | None = None
    """What the host says when its container cannot be started."""
    size_bytes: int = 0
    """What each machine pulls, and is billed for."""


@dataclass(kw_only=True)
class Meter:
    """Adds up what an instance costs, by the second and by the byte."""

    gpu_usd_per_h: float
    disk_usd_per_h: float
    since_s: float
    gpu_usd: float = 0.0
    disk_usd: float = 0.0
    traffic_usd: float = 0.0

    def run(self, now_s: float, *, gpu: bool, disk: bool) -> None:
        """Count the time up to now, in which GPU and disk were billed or not."""
        hours = max(0.0, now_s - self.since_s) / HOUR_S
        self.gpu_usd += hours * self.gpu_usd_per_h * gpu
        self.disk_usd += hours * self.disk_usd_per_h * disk
        self.since_s = max(now_s, self.since_s)

    @property
    def total_usd(self) -> float:
        return self.gpu_usd + self.disk_usd + self.traffic_usd


class FakeInstance:
    """One contract. Its states are the API's; `tick` moves it on."""

    def __init__(self, number: int, offer: dict[str, Any], body: dict[str, Any], clock: Clock, folder: Path) -> None:
        self.id = number
        self.key = f"INSTANCEKEY{secrets.token_hex(12)}"
        self.offer = offer
        self.body = body
        self.label: str | None = body.get("label")
        self.price: float | None = body.get("price")
        self.folder = folder
        self.created_s = clock.time()
        self.running_since_s: float | None = None
        self.destroyed_s: float | None = None
        self.actual_status: str | None = None
        self.intended_status = "running"
        self.cur_state = "running"
        self.status_msg: str | None = None
        self.foreign = False
        """Whether it belongs to somebody else who uses the account: it has no process."""
        self.starts = 0
        """How often its container was started."""
        self.argv: list[str] = []
        self.environ: dict[str, str] = {}
        self.process: subprocess.Popen[bytes] | None = None
        self.next_s = self.created_s
        """When the next step of its life comes."""
        disk_gb = float(body.get("disk", 10))
        gpu_usd_per_h = self.price if self.price is not None else float(offer["dph_base"])
        disk_usd_per_h = offer["storage_cost"] * disk_gb / MONTH_H
        self.pulled_bytes = 0
        """Of its image."""
        self.meter = Meter(gpu_usd_per_h=gpu_usd_per_h, disk_usd_per_h=disk_usd_per_h, since_s=self.created_s)
        self._clock = clock
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def exists(self) -> bool:
        return self.destroyed_s is None

    @property
    def is_alive(self) -> bool:
        """Whether its process runs, whatever the states say."""
        return self.process is not None and self.process.poll() is None

    @property
    def log(self) -> str:
        """What its container printed, over all its starts."""
        path = self.folder / "container.log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def count(self) -> None:
        """Bring the meter up to now; before every change of state."""
        offline = self.actual_status in {"offline", "unknown"}
        running = self.actual_status in {"running", "frozen"}
        self.meter.run(self._clock.time(), gpu=self.exists and running, disk=self.exists and not offline)

    def count_traffic(self, down_bytes: int, up_bytes: int) -> None:
        """What its host bills for everything that it has got and sent, its image included."""
        down_gb, up_gb = (down_bytes + self.pulled_bytes) / 1e9, up_bytes / 1e9
        self.meter.traffic_usd = down_gb * self.offer["inet_down_cost"] + up_gb * self.offer["inet_up_cost"]

    def change(self, actual: str | None, *, message: str | None = None, intended: str | None = None) -> None:
        """Enter a state."""
        self.count()
        self.actual_status = actual
        if message is not None:
            self.status_msg = message
        if intended is not None:
            self.intended_status = self.cur_state = intended

    def start(self, image: Image, url: str, account_env: dict[str, str]) -> None:
        """Start the container. What cannot be started says so as Docker does."""
        self.kill()  # a host that was lost may have kept the one before
        body, given = self.body, self.body.get("env") or {}
        self.environ = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "CUDA_VISIBLE_DEVICES": "",  # whatever GPU is offered, the process that stands for the machine has none
            "VAST_URL": url,  # an image for the fake has it set; the real API is where it always is
            **image.env,
            "CONTAINER_ID": str(self.id),
            "CONTAINER_API_KEY": self.key,
            "VAST_CONTAINERLABEL": f"C.{self.id}",
            "PUBLIC_IPADDR": str(self.offer.get("public_ipaddr", "")).strip(),
            "GPU_COUNT": str(self.offer["num_gpus"]),
            "DATA_DIRECTORY": str(self.folder),
            **account_env,
            **{name: value for name, value in given.items() if not name.startswith("-")},
        }
        if body.get("runtype", "ssh") == "args":
            program = [body["onstart"]] if body.get("onstart") else list(image.entrypoint)
            self.argv = program + list(body.get("args") or ())
        else:
            self.argv = ["/bin/sh", "-c", f"{body.get('onstart') or ''}\nexec sleep 1000000"]
        if image.start_error is not None:
            raise OSError(image.start_error)
        if shutil.which(self.argv[0], path=self.environ["PATH"]) is None:
            raise OSError(f'OCI runtime create failed: exec: "{self.argv[0]}": no such file or directory')
        with (self.folder / "container.log").open("ab") as log:
            self.process = subprocess.Popen(
                ["/bin/sh", "-c", _CONTAINER, "sh", *self.argv],
                env=self.environ,
                cwd=self.folder,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.starts += 1
        self.running_since_s = self._clock.time()
        self.change("running", message=f"success, running {body['image']}_{self.id}/{body.get('runtype', 'ssh')}")

    def kill(self) -> None:
        """SIGKILL to everything in the container, whatever group it put itself into, and wait for its end."""
        process, self.process = self.process, None
        if process is None:
            return
        while pids := self.pids():
            self._signal(pids, signal.SIGKILL)
            process.poll()
        process.wait(timeout=30)
        if process.stdin is not None:
            process.stdin.close()

    def freeze(self, *, frozen: bool) -> None:
        """Stop all processes where they are, as a host that is gone does; or let them go on."""
        self._signal(self.pids(), signal.SIGSTOP if frozen else signal.SIGCONT)

    def pids(self) -> list[int]:
        """Every process that has the container's key in its environment and is no zombie."""
        found, mark = [], f"CONTAINER_API_KEY={self.key}".encode()
        for folder in Path("/proc").iterdir():
            if folder.name.isdecimal():
                with contextlib.suppress(OSError):
                    if mark in _environ(folder):
                        found.append(int(folder.name))
        return found

    @staticmethod
    def _signal(pids: list[int], number: signal.Signals) -> None:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def row(self) -> dict[str, Any]:
        """The instance as the API tells it, secrets included."""
        body, offer, disk_gb = self.body, self.offer, float(self.body.get("disk", 10))
        running = self.actual_status == "running"
        copied = (
            "machine_id host_id gpu_name num_gpus gpu_ram inet_up inet_down inet_up_cost inet_down_cost storage_cost "
            "min_bid reliability2 driver_version cuda_max_good geolocation verification public_ipaddr"
        )
        return {name: offer.get(name) for name in copied.split()} | {
            "id": self.id,
            "label": self.label,
            "actual_status": self.actual_status,
            "intended_status": self.intended_status,
            "cur_state": self.cur_state,
            "next_state": self.cur_state,
            "status_msg": self.status_msg,
            "image_uuid": body.get("image"),
            "image_runtype": body.get("runtype", "ssh"),
            "image_args": list(body.get("args") or ()),
            "onstart": body.get("onstart"),
            "extra_env": [[name, value] for name, value in (body.get("env") or {}).items()],
            "ssh_host": "ssh5.vast.ai",
            "ssh_port": 12300,
            "ports": {} if running else None,
            "disk_space": disk_gb,
            "disk_usage": -1,
            "gpu_util": 0.0 if running else None,
            "is_bid": self.price is not None,
            "dph_base": self.meter.gpu_usd_per_h,
            "dph_total": round(self.meter.gpu_usd_per_h + self.meter.disk_usd_per_h, 6),
            "start_date": self.created_s,
            "end_date": self.created_s + offer["duration"],
            "duration": offer["duration"],
            "uptime_mins": None,
            "template_hash_id": None,
            "volume_info": None,
            "jupyter_token": "JUPYTERTOKEN",
        }


def _environ(folder: Path) -> bytes:
    """The variables of a process: of one that is just becoming another program, once it has. A zombie has none."""
    while not (environ := (folder / "environ").read_bytes()):
        facts = (folder / "stat").read_text().rpartition(")")[2].split()
        memory_bytes, start, end = int(facts[20]), int(facts[47]), int(facts[48])  # fields 23, 50, 51 of proc(5)
        if memory_bytes == 0 or (start == end and start != 0):
            break
        time.sleep(0.001)  # the kernel is between two programs: nothing tells when it is done
    return environ
