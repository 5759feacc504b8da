"""What follows from what is seen of a rented instance: pure, so that every order of events can be tried.

`step` takes the state of the watch and one sight, and gives the new state and a verdict. It asks nobody anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Final

from runner.provider import State

if TYPE_CHECKING:
    from runner.provider import Instance
    from runner.records import Done, Progress

BAD_IMAGE: Final = re.compile(
    r"pull access denied|manifest unknown|manifest for .* not found|repository does not exist|"
    r"failed to resolve reference|unauthorized|invalid reference format|no matching manifest",
    re.IGNORECASE,
)
"""Status messages that no other machine will do better than."""
BAD_HOST: Final = re.compile(
    r"toomanyrequests|pull rate limit|error response from daemon|oci runtime|cdi device|nvidia-container-cli|"
    r"no space left on device|exec: .* no such file|i/o timeout|tls handshake timeout|no such host|"
    r"connection (?:refused|reset)|docker_build\(\) error",
    re.IGNORECASE,
)
"""Status messages that say that this machine will never start the worker; another one may."""


ROUNDING_USD: Final = Decimal("0.0001")
"""Prices are told with four to six decimals."""


class Kind(Enum):
    """What to do next."""

    GO_ON = "go on"
    FINISHED = "finished"
    """`done.json` is there; whether it says ok is another question."""
    REPLACE = "replace"
    """This instance is of no use any more; the rest of the work needs another one."""
    STOP = "stop"
    """Nothing may or can be rented for this run any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The outcome of one sight."""

    kind: Kind
    reason: str = ""
    """For people, without a full stop."""
    blame: bool = False
    """Whether the machine is at fault and is left alone for a while."""


GO_ON: Final = Verdict(kind=Kind.GO_ON)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long each kind of silence is borne, in seconds."""

    boot_s: float = 900.0
    """From creation to the worker's first word: 1 to 5 min are usual for an image of some GB."""
    quiet_boot_s: float = 300.0
    """While booting, without a change of the provider's status message."""
    stall_s: float = 600.0
    """From one sign of life of a worker to the next."""
    unreachable_s: float = 300.0
    """While the provider says that the host does not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What is known about one rented instance so far. Times are seconds since 1970, by this machine's clock."""

    created_s: float
    deadline_s: float
    """When it has to be gone: by then its owner's money or time is used up."""
    is_bid: bool = False
    max_usd_per_h: Decimal | None = None
    """More than that nobody wants to pay, whatever was offered."""
    heard_s: float | None = None
    """When something new of its worker was last in the bucket."""
    message: str = ""
    message_s: float | None = None
    """Since when the provider says that."""
    unreachable_s: float | None = None
    """Since when the host has not answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """One look at everything."""

    now_s: float
    answered: bool
    """Whether the provider could say anything; when not, `instance` means nothing."""
    instance: Instance | None = None
    """None: the provider says that there is no such instance."""
    is_news: bool = False
    """Whether the worker has written anything since the last sight."""
    progress: Progress | None = None
    """Its latest event."""
    done: Done | None = None


def step(watch: Watch, sight: Sight, patience: Patience) -> tuple[Watch, Verdict]:
    """The watch after `sight`, and what to do."""
    watch = _noted(watch, sight)
    if sight.done is not None:
        return watch, Verdict(kind=Kind.FINISHED)
    if sight.now_s >= watch.deadline_s:
        return watch, Verdict(kind=Kind.STOP, reason="its time is up: the deadline or the budget allows no more")
    return watch, _of_worker(sight) or _of_provider(watch, sight, patience) or _of_silence(watch, sight, patience)


def _noted(watch: Watch, sight: Sight) -> Watch:
    if sight.is_news:
        watch = replace(watch, heard_s=sight.now_s)
    if not sight.answered or sight.instance is None:
        return watch
    if sight.instance.state is not State.UNREACHABLE:
        watch = replace(watch, unreachable_s=None)
    elif watch.unreachable_s is None:
        watch = replace(watch, unreachable_s=sight.now_s)
    if watch.message_s is None or sight.instance.message != watch.message:
        watch = replace(watch, message=sight.instance.message, message_s=sight.now_s)
    return watch


def _of_worker(sight: Sight) -> Verdict | None:
    """What the worker says of itself."""
    if sight.progress is None:
        return None
    said = sight.progress.message or "no reason given"
    if sight.progress.state == "giving-up":
        return Verdict(kind=Kind.REPLACE, reason=f"the worker gives this machine up: {said}", blame=True)
    if sight.progress.state == "failed":
        return Verdict(kind=Kind.REPLACE, reason=f"the worker failed: {said}", blame=True)
    return None


def _of_provider(watch: Watch, sight: Sight, patience: Patience) -> Verdict | None:
    """What the provider says of the instance."""
    if not sight.answered:
        return None
    found = sight.instance
    if found is None or found.is_terminated:
        # One that never said a word could not even begin: it is not tried again at once.
        return Verdict(kind=Kind.REPLACE, reason="the instance is gone", blame=watch.heard_s is None)
    if watch.max_usd_per_h is not None and found.price_usd_per_h > watch.max_usd_per_h + ROUNDING_USD:
        reason = f"it costs ${found.price_usd_per_h:.4f}/h, more than was offered and than the limit"
        return Verdict(kind=Kind.REPLACE, reason=reason, blame=True)
    if found.state is State.STOPPED:
        if watch.is_bid:
            return Verdict(kind=Kind.REPLACE, reason="somebody else has bid more")
        words = f": {found.message}" if found.message else ""
        return Verdict(kind=Kind.REPLACE, reason=f"the instance has stopped{words}", blame=True)
    if watch.unreachable_s is not None and sight.now_s >= watch.unreachable_s + patience.unreachable_s:
        return Verdict(kind=Kind.REPLACE, reason="the host does not answer", blame=True)
    if watch.heard_s is None and BAD_IMAGE.search(found.message):
        return Verdict(kind=Kind.STOP, reason=f"the image cannot be started anywhere: {found.message}")
    if watch.heard_s is None and BAD_HOST.search(found.message):
        return Verdict(kind=Kind.REPLACE, reason=f"the host cannot start the worker: {found.message}", blame=True)
    return None


def _of_silence(watch: Watch, sight: Sight, patience: Patience) -> Verdict:
    if watch.heard_s is not None:
        if sight.now_s >= watch.heard_s + patience.stall_s:
            return Verdict(kind=Kind.REPLACE, reason="the worker has fallen silent", blame=True)
        return GO_ON
    if sight.now_s >= watch.created_s + patience.boot_s:
        return Verdict(kind=Kind.REPLACE, reason="the worker has not started in time", blame=True)
    since = watch.message_s if watch.message_s is not None else watch.created_s
    if sight.answered and sight.now_s >= since + patience.quiet_boot_s:
        return Verdict(kind=Kind.REPLACE, reason="nothing happens while it should start", blame=True)
    return GO_ON
