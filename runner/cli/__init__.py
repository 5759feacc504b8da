"""The command line. Only this package knows Typer; every command imports what it needs when it runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (without the program's name; default: the process's own) and return its exit code."""
    try:
        from runner.cli import app
    except KeyboardInterrupt:  # before there was anything to interrupt
        print("runner: interrupted", file=sys.stderr)
        return 130
    return app.main(arguments)
