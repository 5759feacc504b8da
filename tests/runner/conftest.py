"""Ctrl-C for the processes that tests start, what costs money, and the last word about the damaged clips."""

from __future__ import annotations

import signal
import threading

import pytest


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_reaches_what_tests_start() -> None:
    """A shell that runs the tests in the background has them ignore Ctrl-C, and so would all that they start."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What spends real money runs only when it is asked for by name: -m live."""
    live = [item for item in items if item.get_closest_marker("live")]
    if live and "live" not in str(config.getoption("markexpr")):
        config.hook.pytest_deselected(items=live)
        items[:] = [item for item in items if item not in live]


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
