"""`runner doctor`: what this machine can do, and why not."""

from __future__ import annotations

from typing import Annotated

import typer

from runner.cli.output import print_json, print_rows


def doctor(
    *,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Show what this machine can do, what it lacks, and what to do about it.

    \b
    Examples:
      runner doctor
      runner doctor --json
    """
    from runner.doctor import examine

    checks = examine()
    if json:
        print_json({"ok": all(c.ok or not c.required for c in checks), "checks": [c.to_json() for c in checks]})
        return
    print_rows((check.mark, check.name, check.found) for check in checks)
    advice = [check for check in checks if not check.ok]
    if advice:
        print()
        print_rows((check.name, check.advice) for check in advice)
