"""The command line. Only this package knows Typer; every command imports what it needs when it runs."""

from __future__ import annotations

from runner.cli.app import main

__all__ = ["main"]
