"""The end of an instance, proven: asked for until the provider says that there is none."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from runner.errors import OrphanedInstanceError, ProviderKeyError
from runner.images import is_one_of

if TYPE_CHECKING:
    from runner.clock import Clock
    from runner.provider import Instance, Provider

log = logging.getLogger(__name__)

LIMIT_S: Final = 300.0
"""How long an end is asked for before somebody is told: an API can be silent for minutes."""
PAUSES_S: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
"""Between two tries; the last one from then on."""

KEY_TRIES: Final = 3
"""Waiting makes no key right; but a fault of the server's can look like a wrong key."""


def end_instance(provider: Provider, instance_id: str, *, clock: Clock, limit_s: float = LIMIT_S) -> None:
    """Destroy it, and return once `show` and the list of all instances agree that it is gone.

    Raises `OrphanedInstanceError` when that could not be proven within `limit_s`, whatever failed: it may still
    cost money then.
    """
    until = clock.now() + limit_s
    reason = "the provider goes on listing it"
    for attempt in range(10_000):
        try:
            provider.destroy(instance_id)
            if is_gone(provider, instance_id):
                return
        except ProviderKeyError as error:
            reason = str(error)
            if attempt >= KEY_TRIES:
                break
        except OSError as error:  # the provider's, or this machine's own: whatever failed, it is not proven
            reason = str(error)
        log.info("%s instance %s is not proven gone: %s", provider.name, instance_id, reason)
        pause_s = PAUSES_S[min(attempt, len(PAUSES_S) - 1)]
        if clock.now() + pause_s > until:
            break
        clock.sleep(pause_s)
    raise OrphanedInstanceError(
        f"{provider.name} instance {instance_id} could not be proven gone and may still cost money ({reason}); "
        "run `runner reap` until it exits 0, or destroy it in the provider's console"
    )


def is_gone(provider: Provider, instance_id: str) -> bool:
    """Whether the provider says in both ways that there is no such instance. Raises when it cannot say."""
    found = provider.show(instance_id)
    if found is not None and not found.is_terminated:
        return False
    return all(one.id != instance_id or one.is_terminated for one in provider.instances())


def with_label(provider: Provider, label: str, image: str) -> list[Instance]:
    """Instances of exactly this label that still exist, and whose image is `image` or not known yet.

    Raises when the provider cannot say.
    """
    return [
        one
        for one in provider.instances()
        if one.label == label and not one.is_terminated and (not one.image or is_one_of(one.image, {image}))
    ]
