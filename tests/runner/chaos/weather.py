"""What can go wrong, each as something that happens to a storm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.runner.chaos.storm import Storm


def laptop_dies(storm: Storm) -> None:
    storm.kill_laptop()


def worker_dies(storm: Storm) -> None:
    for number in storm.vast.billing():
        storm.vast.kill(number)


def outbid(storm: Storm) -> None:
    for number in storm.vast.billing()[:1]:
        storm.vast.outbid(number)


def host_vanishes(storm: Storm) -> None:
    for number in storm.vast.billing()[:1]:
        storm.vast.go_offline(number)


def silence(storm: Storm) -> None:
    storm.vast.silence(storm.random.choice([20, 90, 240]))


def both_die(storm: Storm) -> None:
    laptop_dies(storm)
    worker_dies(storm)


def create_reply_lost(storm: Storm) -> None:
    storm.vast.break_next("create", lose=True)


def create_fails_and_works(storm: Storm) -> None:
    storm.vast.break_next("create", status=502, after=True, contract=storm.random.random() < 0.5)


def create_dropped(storm: Storm) -> None:
    storm.vast.break_next("create", drop=True, times=2)


def empty_lists(storm: Storm) -> None:
    storm.vast.break_next("list", empty=True, times=3, lie=storm.random.random() < 0.3)


def destroy_fails(storm: Storm) -> None:
    how: dict[str, Any] = storm.random.choice(
        [{"status": 500}, {"status": 500, "after": True}, {"lose": True}, {"status": 429}]
    )
    storm.vast.break_next("destroy", times=storm.random.randint(1, 3), **how)


def show_fails(storm: Storm) -> None:
    storm.vast.break_next("show", times=4, status=storm.random.choice([500, 502, 429]))


def comes_back(storm: Storm) -> None:
    storm.vast.resurrect_next(storm.random.choice([0.0, 20.0, 60.0]))


def slow_answers(storm: Storm) -> None:
    storm.vast.break_next("*", times=3, delay_s=storm.random.choice([1.0, 20.0]))


EVENTS: Final[tuple[Callable[[Storm], None], ...]] = (
    laptop_dies, laptop_dies, laptop_dies, worker_dies, worker_dies, both_die, outbid, host_vanishes, silence,
    create_reply_lost, create_fails_and_works, create_dropped, empty_lists, destroy_fails, show_fails, comes_back,
    slow_answers,
)  # fmt: skip
"""While the run goes on."""
LATE_EVENTS: Final[tuple[Callable[[Storm], None], ...]] = (
    silence, empty_lists, destroy_fails, show_fails, comes_back, slow_answers,
)  # fmt: skip
"""While somebody reaps."""
