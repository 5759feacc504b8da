"""The API of Vast.ai: one method for each call, typed replies, errors of `runner.errors`.

https://docs.vast.ai/api-reference
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

from runner.errors import OfferGoneError, RateLimitError, ReplyError, UnansweredError, UnknownOutcomeError
from runner.vast.client import Connection
from runner.vast.key import ApiKey, find_key
from runner.vast.models import Charge, ChargePage, Created, Instance, Offer, Page, User
from runner.vast.pace import Endpoint
from runner.vast.refusals import CreateFailedError, InstanceGoneError, refusal
from runner.vast.search import Search, cheapest

if TYPE_CHECKING:
    from datetime import datetime
    from types import TracebackType

    from runner.vast.config import InstanceConfig

CREATE_PENALTY_S: Final = 12.0
"""How long renting is refused after it was tried too soon."""
LONGEST_HOLD_S: Final = 60.0
"""However long the service asks to wait: a wait in here hears no signal, so whoever rents does the waiting."""
LOG_WAIT_S: Final = 45.0
"""A log takes a while to get to where it is read."""
MAX_PAGES: Final = 1000
SEARCH_PAGES: Final = 4
"""Searches are counted for the day."""

log = logging.getLogger(__name__)


class VastClient:
    """Every method may raise `ProviderKeyError`, `RateLimitError`, `RefusedError`, `UnansweredError`, `ReplyError`."""

    def __init__(self, key: ApiKey | None = None, **options: Any) -> None:
        """`key` is the one that `find_key` finds unless another is given; `options` are those of `Connection`."""
        self._http = Connection(key or find_key(), **options)

    def __repr__(self) -> str:
        return f"VastClient({self._http.url}, key from {self._http.key.origin})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close this thread's connections; a later call opens new ones."""
        self._http.close()

    def search(self, search: Search) -> list[Offer]:
        """The cheapest offers that satisfy all conditions by their own word; none twice. May be empty."""
        what = "searching for offers"
        found: dict[int, Offer] = {}
        price: float | None = None
        for _ in range(SEARCH_PAGES):
            body = search.to_wire(from_usd_per_h=price)
            reply = self._http.ask(what, Endpoint.SEARCH, "POST", "/api/v0/bundles/", json=body)
            rows = (reply.body or {}).get("offers")
            if not isinstance(rows, list):
                raise ReplyError(f"{what}: field offers of the answer is missing; is there a newer version of this?")
            known = len(found)
            found |= {offer.offer_id: offer for offer in _sound(what, rows, search)}
            prices = [row["dph_total"] for row in rows if isinstance(row, dict) and _is_number(row.get("dph_total"))]
            if len(rows) < body["limit"] or len(found) >= search.limit or not prices:
                break
            # The next page begins at the price this one ends with: some of it may be left.
            if len(found) == known and max(prices) == price:
                break
            price = max(prices)
        return cheapest(found, search.limit)

    def create(self, offer_id: int, config: InstanceConfig) -> Created:
        """Rent. Sent once, never again.

        Raises `OfferGoneError` when somebody else has it, `CreditError` without money, `RateLimitError`: nothing
        was rented. `CreateFailedError` names an instance that exists in spite of the failure. `UnknownOutcomeError`
        when there was no answer, or one that makes no sense: look for the label.
        """
        what = f"renting offer {offer_id}"
        path = f"/api/v0/asks/{offer_id}/"
        look = f"an instance may exist under label {config.label}"
        self._http.pace.wait(Endpoint.CREATE)
        try:
            answer = self._http.send(what, "PUT", path, json=config.to_wire())
        except UnansweredError as error:
            raise UnknownOutcomeError(f"{error}; {look}") from None
        if answer.is_success:
            try:
                return Created.from_wire(what, answer.body)
            except ReplyError as error:
                raise UnknownOutcomeError(f"{error}; {look}") from None
        refused = refusal(what, answer)
        if answer.contract is not None:
            raise CreateFailedError(f"{refused}; yet instance {answer.contract} exists", instance_id=answer.contract)
        if isinstance(refused, UnansweredError) or (answer.status == 200 and answer.body is None):
            raise UnknownOutcomeError(f"{refused}; {look}")
        if isinstance(refused, InstanceGoneError):  # 404 `not_found`: here it speaks of the offer
            raise OfferGoneError(str(refused))
        if isinstance(refused, RateLimitError):
            hold_s = min(refused.retry_after_s or CREATE_PENALTY_S, LONGEST_HOLD_S)
            self._http.pace.hold(Endpoint.CREATE, hold_s)
        raise refused

    def instances(self) -> list[Instance]:
        """Every instance of the account. A list that is shorter than it says itself is an error, not an answer."""
        what = "listing instances"
        for last in (False, True):
            found, told = self._pages(what)
            if told is None or len(found) >= told:
                return list(found.values())
            if last:
                break
            log.info("%s: got %d of %d; once more", what, len(found), told)
        raise ReplyError(f"{what}: got {len(found)} of {told} instances, twice; try again later")

    def _pages(self, what: str) -> tuple[dict[int, Instance], int | None]:
        """All pages, and how many instances they are said to hold."""
        found: dict[int, Instance] = {}
        query = {"select_filters": "{}", "order_by": '[{"col": "id", "dir": "asc"}]', "limit": "25"}
        seen: set[str] = set()
        while True:
            answer = self._http.ask(what, Endpoint.LIST, "GET", "/api/v1/instances/", query=query)
            page = Page.from_wire(what, answer.body)
            found |= {instance.instance_id: instance for instance in page.instances}
            if page.next_token is None:
                return found, page.total_instances
            if page.next_token in seen or len(seen) >= MAX_PAGES:
                raise ReplyError(f"{what}: the pages do not end; try again later")
            seen.add(page.next_token)
            query["after_token"] = page.next_token

    def show(self, instance_id: int) -> Instance | None:
        """One instance; None when the API says that there is none, and not merely that the key is wrong."""
        what = f"showing instance {instance_id}"
        path = f"/api/v0/instances/{instance_id}/"
        try:
            answer = self._http.ask(what, Endpoint.SHOW, "GET", path, query={"owner": "me"})
        except InstanceGoneError:
            return None
        body = answer.body or {}
        if "instances" not in body:
            raise ReplyError(f"{what}: field instances of the answer is missing; is there a newer version of this?")
        if body["instances"] is None:
            return None
        instance = Instance.from_wire(what, body["instances"])
        if instance.instance_id != instance_id:
            raise ReplyError(f"{what}: the answer is about instance {instance.instance_id}; try again later")
        return instance

    def destroy(self, instance_id: int) -> bool:
        """Ask for the end of an instance. False when there was none; what is true is seen with `show` afterwards."""
        what = f"destroying instance {instance_id}"
        try:
            self._http.ask(what, Endpoint.DESTROY, "DELETE", f"/api/v0/instances/{instance_id}/", json={})
        except InstanceGoneError:
            return False
        return True

    def label(self, instance_id: int, text: str) -> None:
        """Give an instance another label. Raises `InstanceGoneError`."""
        what = f"labelling instance {instance_id}"
        self._http.ask(what, Endpoint.CHANGE, "PUT", f"/api/v0/instances/{instance_id}/", json={"label": text})

    def change_bid(self, instance_id: int, usd_per_h: float) -> None:
        """Bid another price for an instance that is a bid. Raises `InstanceGoneError`."""
        what = f"bidding for instance {instance_id}"
        body = {"client_id": "me", "price": usd_per_h}
        self._http.ask(what, Endpoint.BID, "PUT", f"/api/v0/instances/bid_price/{instance_id}/", json=body)

    def logs(self, instance_id: int, *, lines: int = 1000, daemon: bool = False) -> str:
        """The last lines that its container printed, or those of the host's container daemon about it.

        Raises `InstanceGoneError`, and `UnansweredError` when the text does not come in `LOG_WAIT_S`.
        """
        what = f"reading the log of instance {instance_id}"
        body = {"tail": str(lines)} | ({"daemon_logs": "true"} if daemon else {})
        path = f"/api/v0/instances/request_logs/{instance_id}/"
        answer = self._http.ask(what, Endpoint.LOGS, "PUT", path, json=body)
        url = (answer.body or {}).get("result_url")
        if not isinstance(url, str) or urlsplit(url).scheme not in {"http", "https"}:
            raise ReplyError(f"{what}: field result_url of the answer is missing; is there a newer version of this?")
        until = self._http.clock() + LOG_WAIT_S
        while True:
            text = self._http.fetch(url)
            if text is not None:
                return text
            if self._http.clock() >= until:
                raise UnansweredError(f"{what}: it did not come within {LOG_WAIT_S:.0f} s; try again later")
            self._http.sleep(1.0)

    def user(self) -> User:
        """The account, and what it can still spend."""
        what = "reading the account"
        answer = self._http.ask(what, Endpoint.USER, "GET", "/api/v0/users/current/")
        return User.from_wire(what, answer.body)

    def charges(self, first: datetime, last: datetime) -> list[Charge]:
        """What instances cost between two moments, newest first. Needs the right `billing_read`."""
        what = "reading the charges"
        days = f'{{"day": {{"gte": {int(first.timestamp())}, "lte": {int(last.timestamp())}}}, '
        query = {
            "select_filters": days + '"type": {"in": ["instance"]}}',
            "format": "table",
            "latest_first": "true",
            "limit": "100",
        }
        found: list[Charge] = []
        for _ in range(MAX_PAGES):
            answer = self._http.ask(what, Endpoint.CHARGES, "GET", "/api/v0/charges/", query=query)
            page = ChargePage.from_wire(what, answer.body)
            found += page.results
            if page.next_token is None:
                return found
            query["after_token"] = page.next_token
        raise ReplyError(f"{what}: the pages do not end; try again later")


def _sound(what: str, rows: list[Any], search: Search) -> list[Offer]:
    """The offers among `rows` that satisfy the conditions. One that cannot be read is left out, all are an error."""
    found, unread = [], None
    for row in rows:
        try:
            offer = Offer.from_wire(what, row)
        except ReplyError as error:
            unread = error
            log.warning("an offer is left out: %s", error)
            continue
        wrong = search.refusal(row)
        if wrong is None:
            found.append(offer)
        else:
            log.debug("offer %d is left out: %s", offer.offer_id, wrong)
    if unread is not None and not found and len(rows) > 0:
        raise unread
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
