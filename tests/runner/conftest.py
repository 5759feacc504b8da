"""The last word about the damaged clips: how many there were, and what became of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = terminalreporter.stats.get("passed", ())
    counts = {
        name: sum(int(value) for report in reports for key, value in report.user_properties if key == name)
        for name in ("damaged_concealed", "damaged_refused")
    }
    concealed, refused = counts.values()
    if concealed or refused:
        terminalreporter.write_line(
            f"damaged clips: {concealed + refused} tried, {concealed} concealed (exit 0), {refused} refused (exit 3)"
        )
