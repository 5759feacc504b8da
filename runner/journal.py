"""What this machine has rented, written before it is rented: one line of JSON each, forced to disk.

    intent     {label, provider, image, run, offer, machine, price, deadline}   before `create` is sent
    created    {label, instance}
    absent     {label}     the provider has proven that nothing was rented under the label
    destroyed  {label, instance}

A process may be killed between any two of them: whoever reads the file sees which labels may still cost money.
"""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
import re
import secrets
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import ValidationError

from runner.errors import ProviderError
from runner.spec import Record
from runner.state import state_folder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PREFIX: Final = "framehaul-"
"""What the labels of all our instances begin with."""
_ATTEMPT: Final = re.compile(r"[0-9a-f]{8}x(\d{1,12})")


def label_of(run: str, slot: int, attempt: str) -> str:
    """`framehaul-<run>-<slot>-<attempt>`: unique where `attempt` is random."""
    return f"{PREFIX}{run}-{slot}-{attempt}"


def new_label(run: str, slot: int, *, deadline_s: float | None = None) -> str:
    """A label that nobody has, with `<random>x<deadline>` as its attempt: so it says when its instance ends itself
    (seconds since 1970), also to those who cannot read the run's folder. Without the last part where it never does.
    """
    return label_of(run, slot, secrets.token_hex(4) + ("" if deadline_s is None else f"x{math.ceil(deadline_s)}"))


def run_of(label: str) -> str | None:
    """The run that an instance of ours works for; None for a label that we have not made."""
    name, _, attempt = label.removeprefix(PREFIX).rpartition("-")
    run, _, slot = name.rpartition("-")
    return run if label.startswith(PREFIX) and run and slot.isdigit() and attempt else None


def deadline_in(label: str) -> float | None:
    """When the instance of that label ends itself, seconds since 1970; None where the label does not say it."""
    found = _ATTEMPT.fullmatch(label.rpartition("-")[2]) if run_of(label) is not None else None
    return None if found is None else float(found[1])


class Entry(Record):
    """One line."""

    event: Literal["intent", "created", "absent", "destroyed"]
    time_s: float
    """Seconds since 1970."""
    label: str
    provider: str = ""
    image: str = ""
    run: str = ""
    machine: str = ""
    price_usd_per_h: Decimal = Decimal(0)
    deadline_s: float | None = None
    """When the instance ends itself, seconds since 1970."""
    instance: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rental:
    """All that the journal knows about one label."""

    intent: Entry
    instance: str | None = None
    created_s: float | None = None
    ended_s: float | None = None
    """When it was proven gone, or proven never to have been."""

    @property
    def label(self) -> str:
        return self.intent.label

    @property
    def open(self) -> bool:
        """Whether it may still cost money."""
        return self.ended_s is None


class Journal:
    """The file `path`, which many processes may write at once."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or state_folder() / "instances.jsonl"

    def write(self, entry: Entry) -> None:
        """Append a line and wait until it is on disk. Raises `ProviderError`: what cannot be noted is not rented."""
        line = entry.model_dump_json(exclude_defaults=True) + "\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                data = self._mended(line).encode()
                if os.write(descriptor, data) < len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # half a line is no record
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise ProviderError(
                f"{self.path} takes no record of what is rented: {reason}; nothing is rented without one, "
                "set XDG_STATE_HOME to a folder that can be written"
            ) from error

    def rentals(self, provider: str | None = None) -> Sequence[Rental]:
        """What was rented or tried, oldest first; a line that a killed process has cut is ignored."""
        found: dict[str, Rental] = {}
        for entry in self._entries():
            known = found.get(entry.label)
            if entry.event == "intent":
                found[entry.label] = Rental(intent=entry)
            elif known is None:
                continue
            elif entry.event == "created":
                found[entry.label] = replace(known, instance=entry.instance, created_s=entry.time_s)
            else:
                found[entry.label] = replace(known, ended_s=entry.time_s)
        return [one for one in found.values() if provider in {None, one.intent.provider}]

    def _entries(self) -> list[Entry]:
        try:
            lines = self.path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ProviderError(f"{self.path} cannot be read: {(error.strerror or '').lower()}") from error
        entries = []
        for line in lines:
            try:
                entries.append(Entry.model_validate_json(line))
            except ValidationError:
                continue
        return entries

    def _mended(self, line: str) -> str:
        """`line`, on a line of its own even when a killed process has left half a one."""
        whole = self.path.read_bytes()[-1:] in {b"", b"\n"}
        return line if whole else f"\n{line}"


class BlackList:
    """Machines that failed lately, in the file `path`: each is left alone until its time is over."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or state_folder() / "machines.json"

    def add(self, provider: str, machine: str, *, until_s: float, reason: str) -> None:
        """Leave `machine` alone until `until_s` (seconds since 1970)."""
        known = self._read()
        known[f"{provider}:{machine}"] = {"until_s": until_s, "reason": reason}
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = self.path.with_suffix(f".{os.getpid()}.new")
        part.write_text(json.dumps(known, indent=1), encoding="utf-8")
        part.replace(self.path)

    def machines(self, provider: str, *, now_s: float) -> frozenset[str]:
        """The machines of `provider` to leave alone now."""
        start = f"{provider}:"
        listed = self._read().items()
        return frozenset(n.removeprefix(start) for n, why in listed if n.startswith(start) and why["until_s"] > now_s)

    def _read(self) -> dict[str, dict[str, Any]]:
        """What is in the file; a file that cannot be read forbids nothing."""
        try:
            known = json.loads(self.path.read_text(encoding="utf-8"))
            return {
                str(name): {"until_s": float(why["until_s"]), "reason": str(why["reason"])}
                for name, why in known.items()
            }
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return {}
