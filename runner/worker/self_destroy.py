"""How a rented machine ends itself: with the key that the provider gave to this one instance."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Final

from runner.errors import ProviderError, ProviderKeyError, RefusedError

if TYPE_CHECKING:
    from runner.clock import Clock
    from runner.vast.api import VastClient

log = logging.getLogger(__name__)

PAUSES_S: Final = (2.0, 5.0, 10.0, 30.0, 60.0)
"""Between two requests; the last one for ever."""


CHECK_S: Final = 5.0
"""How long the look at the beginning may take: the work waits for it."""


class SelfDestroyError(ProviderError):
    """This machine could not end itself."""


def check_self_destroy() -> None:
    """Raises `SelfDestroyError` unless the key can see this very instance. A silent API proves nothing against it."""
    try:
        with _client(patience_s=CHECK_S, read_timeout_s=CHECK_S) as client:
            known = client.show(_instance_id()) is not None
    except SelfDestroyError:
        raise
    except (ProviderKeyError, RefusedError) as error:
        raise SelfDestroyError(f"its key is refused: {error}") from error
    except ProviderError as error:
        log.warning("whether this machine can end itself is not known: %s", error)
        return
    if not known:
        raise SelfDestroyError(f"instance {_instance_id()} is not known to its own key")


def destroy_self(clock: Clock) -> None:
    """Ask for the end of this instance until it is gone. Returns only when the provider says that it is."""
    turn = 0
    while True:
        try:
            with _client() as client:
                client.destroy(_instance_id())
                if client.show(_instance_id()) is None:
                    return
        except ProviderError as error:
            log.warning("not destroyed yet: %s", error)
        clock.sleep(PAUSES_S[min(turn, len(PAUSES_S) - 1)])
        turn += 1


def _client(**options: float) -> VastClient:
    from runner.vast.api import VastClient
    from runner.vast.key import ApiKey

    return VastClient(ApiKey(secret=os.environ["CONTAINER_API_KEY"], origin="CONTAINER_API_KEY"), **options)


def _instance_id() -> int:
    number = os.environ.get("CONTAINER_ID", "")
    if not number.isdigit():
        raise SelfDestroyError("CONTAINER_ID does not say which instance this is")
    return int(number)
