"""What the trusted side writes about a run beside its plan: who wanted it, and that it is over."""

from __future__ import annotations

import re
import secrets
import time
from decimal import Decimal
from typing import Final, Literal

from runner.spec import Record

RUN_NAME: Final = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")


def new_run(now_s: float) -> str:
    """A name that no other run has: `YYYYMMDD-hhmmss-xxxxxx`, in UTC."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now_s))}-{secrets.token_hex(3)}"


class Ticket(Record):
    """Where a run came from and where it goes: what any machine with the credentials needs to carry it on."""

    run: str
    created_s: float
    """Seconds since 1970."""
    deadline_s: float
    """When nothing of it may run any more, seconds since 1970."""
    budget_usd: Decimal | None = None
    """Dollars for all of it; may be raised later."""
    max_price_usd_per_h: Decimal | None = None
    provider: str
    given_input: str
    """As the user wrote it."""
    given_output: str
    host: str
    """Name of the machine that asked: its local files are meant."""
    uploaded: str | None = None
    """Location of the copy that was made of a local input, deleted at the end."""
    made: str
    """Location where the worker puts the output; another one than `given_output` where that is a local file."""
    batch: str | None = None
    """The run of the batch that it belongs to."""

    @property
    def delivers(self) -> bool:
        """Whether the output has to be copied to where the user wants it."""
        return self.made != self.given_output


class End(Record):
    """Nothing of the run may be rented any more."""

    state: Literal["finished", "cancelled", "failed"]
    time_s: float
    message: str = ""
    spent_usd: str = "0"
    """At most, as a decimal number."""
