"""Provider `local`: this machine as a market with one offer, whose instances are child processes.

An instance is a folder, so that any process of the user sees it, and any may end it:

    <id>/instance.json   label, image and when it was created, written before anything starts
    <id>/pid             of the session's leader, written by that process itself before it becomes the worker
    <id>/gone            somebody wants its end; a worker that finds it does not start
    <id>/alive           locked for as long as the worker lives, whoever started it
    <id>/log             what it printed
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runner.errors import OfferGoneError, ProviderError
from runner.provider import Instance, InstanceRequest, Offer, State
from runner.state import state_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.spec import Requirements

OFFER: Final = "this-machine"
BOOT_VARIABLE: Final = "FRAMEHAUL_BOOT_URL"
"""Environment variable in which an instance finds its one presigned URL."""
ID_VARIABLE: Final = "CONTAINER_ID"
"""Environment variable in which an instance finds its own id."""
WORKER: Final = (sys.executable, "-m", "runner", "worker")

HANDED_ON: Final = (
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "PYTHONPATH", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES",
    "NUMBA_CACHE_DIR", "NUMBA_NUM_THREADS", "XDG_CACHE_HOME", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE",
)  # fmt: skip
"""All that a worker gets of this process's environment: nothing that may be secret."""

KILL_S: Final = 5.0
"""How long a killed process may take to be gone; longer means that a disk or driver holds it."""
_LAUNCH: Final = 'echo $$ >"$0/pid.new" && mv "$0/pid.new" "$0/pid" && [ ! -e "$0/gone" ] && exec "$@"'


class LocalProvider:
    """This machine. `folder` is where its instances are; `program` what each one runs, before the request's command."""

    name = "local"
    costs = False

    def __init__(
        self,
        folder: Path | None = None,
        *,
        program: Sequence[str] = WORKER,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder or state_folder() / "instances"
        self._program = tuple(program)
        self._environment = dict(environment or {})
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def offers(
        self, requirements: Requirements, *, max_price_usd_per_h: Decimal | None, limit: int = 64
    ) -> Sequence[Offer]:
        """This machine, whatever is asked of others: it costs nothing and is here anyway."""
        del requirements, max_price_usd_per_h, limit
        cores = float(os.cpu_count() or 1)
        return [
            Offer(
                id=OFFER,
                machine=OFFER,
                gpu_name="",
                num_gpus=0,
                vram_gb=None,
                price_usd_per_h=Decimal(0),
                cpu_cores=cores,
                reliability=1.0,
                verified=True,
            )
        ]

    def create(self, offer: Offer, request: InstanceRequest) -> Instance:
        if offer.id != OFFER:
            raise OfferGoneError(f"{offer.id} is no offer of this machine; its only one is {OFFER}")
        instance_id = secrets.token_hex(6)
        folder = self.folder / instance_id
        try:
            folder.mkdir(parents=True, mode=0o700)
            facts = {"label": request.label, "image": request.image, "created_s": time.time()}
            _write(folder / "instance.json", json.dumps(facts))
            self._start(instance_id, folder, request)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise ProviderError(f"no worker can be started in {folder}: {reason}; see XDG_STATE_HOME") from error
        return self._describe(folder, facts)

    def instances(self) -> Sequence[Instance]:
        try:
            folders = sorted(self.folder.iterdir())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ProviderError(f"{self.folder} cannot be read: {(error.strerror or '').lower()}") from error
        return [found for found in (self.show(folder.name) for folder in folders) if found is not None]

    def show(self, instance_id: str) -> Instance | None:
        folder = self._folder(instance_id)
        if folder is None:
            return None
        try:
            facts = json.loads((folder / "instance.json").read_text(encoding="utf-8"))
        except FileNotFoundError:  # its creator was killed before anything could start
            shutil.rmtree(folder, ignore_errors=True)
            return None
        except (OSError, ValueError) as error:
            raise ProviderError(f"{folder} is not readable as an instance; look at it and delete it") from error
        return self._describe(folder, facts)

    def destroy(self, instance_id: str) -> None:
        folder = self._folder(instance_id)
        if folder is None:
            return
        with suppress(FileNotFoundError):
            (folder / "gone").touch()
        until = time.monotonic() + KILL_S
        while self._kill(instance_id, folder):
            if time.monotonic() > until:
                raise ProviderError(f"worker {instance_id} does not end when it is killed; see its log in {folder}")
            time.sleep(0.01)
        child = self._children.pop(instance_id, None)
        if child is not None:
            child.wait()
        shutil.rmtree(folder, ignore_errors=True)

    def logs(self, instance_id: str, *, lines: int = 100) -> Sequence[str]:
        folder = self._folder(instance_id)
        try:
            text = "" if folder is None else (folder / "log").read_text(encoding="utf-8", errors="replace")
        except OSError:
            text = ""
        return text.splitlines()[-lines:]

    def credit_usd(self) -> Decimal | None:
        return None

    def _start(self, instance_id: str, folder: Path, request: InstanceRequest) -> None:
        kept = {name: os.environ[name] for name in HANDED_ON if name in os.environ}
        given = {
            BOOT_VARIABLE: request.boot_url,
            ID_VARIABLE: instance_id,
            "FRAMEHAUL_LABEL": request.label,
            "XDG_STATE_HOME": str(folder / "state"),  # what it notes ends with it
        }
        with (folder / "alive").open("w") as alive, (folder / "log").open("wb") as log:
            fcntl.flock(alive, fcntl.LOCK_EX)  # of the open file: it ends with the last process that has it
            self._children[instance_id] = subprocess.Popen(
                ["/bin/sh", "-c", _LAUNCH, str(folder), *self._program, *request.command],
                env=kept | self._environment | given,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[alive.fileno()],
                start_new_session=True,
                cwd="/",
            )

    def _describe(self, folder: Path, facts: Mapping[str, Any]) -> Instance:
        alive, started = self._is_alive(folder), (folder / "pid").exists()
        return Instance(
            id=folder.name,
            label=str(facts.get("label", "")),
            image=str(facts.get("image", "")),
            machine=OFFER,
            state=State.RUNNING if alive and started else State.LOADING if alive else State.STOPPED,
            gpu_name="",
            price_usd_per_h=Decimal(0),
            message="" if alive else "the worker has ended",
            started_s=float(facts["created_s"]) if "created_s" in facts else None,
        )

    def _is_alive(self, folder: Path) -> bool:
        """Whether the worker, or what it started, still has the lock."""
        child = self._children.get(folder.name)
        if child is not None:
            child.poll()
        try:
            with (folder / "alive").open("r") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def _kill(self, instance_id: str, folder: Path) -> bool:
        """Kill all of it; whether something of it was left to kill."""
        alive = self._is_alive(folder)
        if alive:
            with suppress(OSError, ValueError):  # the lock proves that the number is still that of our leader
                os.killpg(int((folder / "pid").read_text(encoding="ascii")), signal.SIGKILL)
        left = _processes_of(instance_id)
        for pid in left:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        return alive or bool(left)

    def _folder(self, instance_id: str) -> Path | None:
        if not instance_id.isalnum():
            return None
        folder = self.folder / instance_id
        return folder if folder.is_dir() else None


def _processes_of(instance_id: str) -> list[int]:
    """Processes that carry the instance's id in their environment, whatever has become of their leader (Linux)."""
    mark = f"{ID_VARIABLE}={instance_id}\0".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if mark in entry.read_bytes():
                found.append(int(entry.parent.name))
    return [pid for pid in found if pid != os.getpid()]


def _write(path: Path, text: str) -> None:
    part = path.with_suffix(".new")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
