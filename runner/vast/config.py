"""What to start on a rented machine: the body of the request that rents it.

https://docs.vast.ai/api-reference/instances/create-instance
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from runner.vast.wire import Wire

MAX_IMAGE: Final = 1024
MAX_LABEL: Final = 256
MAX_COMMAND: Final = 16384
"""Characters of arguments and start script together."""
MAX_ENV: Final = 32768
"""Characters of all names and values."""
MIN_DISK_GB: Final = 8
_LOGIN: Final = re.compile(r"-u (\S+) -p (\S+) (\S+)")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|-p \d+:\d+(/udp|/tcp)?|-h")
"""A variable, a port to open, or the host's name: all of docker's options that the API takes."""

RunType = Literal["args", "ssh", "ssh_proxy", "ssh_direct"]


class RegistryLogin(Wire):
    """A login for private images. Shows nothing of itself."""

    user: str = Field(min_length=1, pattern=r"^\S+$")
    token: str = Field(min_length=1, pattern=r"^\S+$", repr=False)
    server: str = Field(min_length=1, pattern=r"^\S+$")
    """`ghcr.io`."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `-u USER -p TOKEN SERVER`, as docker and the API write it. Raises `ValueError`, without the text."""
        found = _LOGIN.fullmatch(text.strip())
        if found is None:
            raise ValueError("a registry login is written as -u USER -p TOKEN SERVER, without quotes")
        return cls(user=found[1], token=found[2], server=found[3])

    def __str__(self) -> str:
        return f"{self.user} at {self.server}"

    def to_text(self) -> str:
        return f"-u {self.user} -p {self.token} {self.server}"


class InstanceConfig(Wire):
    """An image, its arguments and environment, a disk, a label; and a price where the instance is a bid."""

    image: str = Field(min_length=1, max_length=MAX_IMAGE)
    label: str = Field(min_length=1, max_length=MAX_LABEL)
    disk_gb: float = Field(alias="disk", ge=MIN_DISK_GB, allow_inf_nan=False)
    """For the life of the instance; billed from its creation on."""
    env: dict[str, str] = Field(default_factory=dict, repr=False)
    """Variables; `-p 8000:8000` with value `1` opens a port. Anybody who may read the instance can read them."""
    runtype: RunType = "args"
    """`args` keeps the image's entrypoint; the others replace it by a shell server."""
    args: tuple[str, ...] = ()
    """Of the entrypoint; only with `args`."""
    onstart: str | None = None
    """With `args` the program to run in place of the entrypoint, else a script that runs at every start."""
    login: RegistryLogin | None = Field(None, repr=False)
    bid_usd_per_h: Decimal | None = Field(None, alias="price", ge=Decimal("0.001"), le=Decimal(128))
    """Makes the instance a bid; None rents on demand, whatever was searched for."""

    @field_validator("env")
    @classmethod
    def _check_env(cls, env: dict[str, str]) -> dict[str, str]:
        if not all(_NAME.fullmatch(name) for name in env):
            raise ValueError("env names are variables, `-p HOST:CONTAINER` or `-h`")
        if sum(len(name) + len(value) for name, value in env.items()) > MAX_ENV:
            raise ValueError(f"env holds more than {MAX_ENV} characters; pass the location of a file instead")
        return env

    @model_validator(mode="after")
    def _check_command(self) -> Self:
        if self.args and self.runtype != "args":
            raise ValueError(f"arguments need run type args, not {self.runtype}")
        if sum(map(len, self.args)) + len(self.onstart or "") > MAX_COMMAND:
            raise ValueError(f"arguments and start script exceed {MAX_COMMAND} characters; pass a location instead")
        return self

    def to_wire(self) -> dict[str, Any]:
        """The body of the request. What cannot start at once is never left behind stopped, with its disk billed."""
        body: dict[str, Any] = {
            "client_id": "me",
            "image": self.image,
            "disk": self.disk_gb,
            "label": self.label,
            "env": dict(self.env),
            "runtype": self.runtype,
            "onstart": self.onstart,
            "image_login": self.login.to_text() if self.login is not None else None,
            "price": None if self.bid_usd_per_h is None else float(self.bid_usd_per_h),
            "cancel_unavail": True,
            "target_state": "running",
        }
        return body | ({"args": list(self.args)} if self.runtype == "args" else {})

    @classmethod
    def from_wire(cls, what: str, value: object) -> Self:
        """From such a body. Raises `ReplyError` that names the field which is missing or wrong."""
        if isinstance(value, dict) and isinstance(value.get("image_login"), str):
            try:
                value = value | {"login": RegistryLogin.parse(value["image_login"])}
            except ValueError:
                value = value | {"login": ""}  # refused below, by its name
        return super().from_wire(what, value)

    def __str__(self) -> str:
        kind = "on demand" if self.bid_usd_per_h is None else f"bid ${self.bid_usd_per_h:.3f}/h"
        return f"{self.image} as {self.label}, {self.disk_gb:g} GB, {kind}"
