"""What each call of the fake Vast.ai does, and where it is found."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tests.runner.vast.fake_checks import Refusal, check_create, check_fields, is_number
from tests.runner.vast.fake_market import search

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.runner.vast.fake import Call, FakeVast
    from tests.runner.vast.fake_instance import FakeInstance

Body = dict[str, Any]


@dataclass(kw_only=True)
class Request:
    """What was asked, and by whom."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    headers: dict[str, str]
    authorization: str = field(repr=False)
    name: str
    number: int | None
    """The instance or offer in the path."""
    identity: str = "nobody"
    rights: frozenset[str] = frozenset()
    instance_key_of: int | None = None

    def as_call(self, time_s: float, status: int) -> Call:
        from tests.runner.vast.fake import Call

        return Call(
            time_s=time_s,
            identity=self.identity,
            method=self.method,
            path=self.path,
            query=self.query,
            body=self.body,
            headers=self.headers,
            name=self.name,
            status=status,
        )

    @property
    def fields(self) -> Body:
        """The body, which must be an object. Raises `Refusal`."""
        if not isinstance(self.body, dict):
            raise Refusal(400, "invalid_args", "the body must be a JSON object")
        if self.headers.get("Content-Type") != "application/json":
            raise Refusal(400, "invalid_args", "the content type must be application/json")
        return self.body


def _instance(vast: FakeVast, request: Request) -> FakeInstance:
    instance = vast.instances.get(request.number or 0)
    if instance is None or not instance.exists:
        raise Refusal(404, "no_such_instance", f"No such instance {request.number}")
    return instance


def _search(vast: FakeVast, request: Request) -> Body:
    return {"offers": search(vast.offers, request.fields, filters_apply=vast.filters_apply)}


def _create(vast: FakeVast, request: Request) -> Body:
    body = request.fields
    check_create(body)
    if vast.credit_usd <= 0:
        raise Refusal(400, "insufficient_credit", "Your account lacks credit; see the billing page.")
    offer = next((row for row in vast.offers if row["id"] == request.number and row["rentable"]), None)
    if offer is None:
        # The same fact comes in three forms.
        status, code = ((400, "invalid_args"), (404, "no_such_ask"), (410, "no_such_ask"))[(request.number or 0) % 3]
        raise Refusal(
            status, code, f"error 404/3603: no_such_ask Instance type by id {request.number} is not available."
        )
    if body.get("disk", 10) > offer["disk_space"]:
        raise Refusal(400, "invalid_args", f"disk is more than {offer['disk_space']} GB")
    price = body.get("price")
    if price is not None and price < offer["min_bid"]:
        if body.get("cancel_unavail"):
            raise Refusal(400, "invalid_price", "your bid is too low")
        instance = vast.rent(offer, body)
        instance.change("stopped", intended="stopped")
        raise Refusal(400, "invalid_price", "your bid is too low; the instance was stopped", new_contract=instance.id)
    instance = vast.rent(offer, body)
    return {"success": True, "new_contract": instance.id, "instance_api_key": instance.key}


_COLUMNS: Final = frozenset({"id", "label", "actual_status", "gpu_name", "verification", "start_date"})


def _list(vast: FakeVast, request: Request) -> Body:
    query = request.query
    unknown = set(query) - {"select_filters", "order_by", "limit", "after_token", "select_cols"}
    if unknown:
        raise Refusal(400, "invalid_args", f"unknown parameter {min(unknown)}")
    try:
        filters = json.loads(query.get("select_filters", "{}"))
        columns = json.loads(query.get("select_cols", "null"))
        order = json.loads(query.get("order_by", "[]"))
        limit, after = int(query.get("limit", 5)), int(query.get("after_token", 0))
    except ValueError:
        raise Refusal(400, "invalid_args", "bad parameter or token") from None
    if limit > 25 or not {*filters, *(one["col"] for one in order)} <= _COLUMNS:
        raise Refusal(400, "invalid_args", "limit is at most 25, and columns must be those of contracts")
    rows = [one.row() for one in vast.instances.values() if one.exists]
    for name, wanted in filters.items():
        allowed = wanted.get("in", [wanted["eq"]] if "eq" in wanted else None)
        if allowed is None:
            raise Refusal(400, "invalid_args", f"filter {name} is unknown")
        rows = [row for row in rows if row[name] in allowed]
    page = [row for row in rows if row["id"] > after][: min(limit if limit > 0 else 5, vast.page_rows)]
    more = bool(page) and page[-1]["id"] != rows[-1]["id"]
    labels = [row["label"] for row in rows if row["label"]]
    if columns:
        page = [{name: row.get(name) for name in columns} for row in page]
    return {
        "success": True,
        "instances_found": len(page),
        "total_instances": len(rows),
        "label_counts": {label: labels.count(label) for label in labels},
        "next_token": str(page[-1]["id"]) if more else None,
        "instances": page,
    }


def _show(vast: FakeVast, request: Request) -> Body:
    instance = vast.instances.get(request.number or 0)
    return {"instances": instance.row() if instance is not None and instance.exists else None}


def _destroy(vast: FakeVast, request: Request) -> Body:
    check_fields(request.fields)
    vast.end(_instance(vast, request))
    return {"success": True}


def _change(vast: FakeVast, request: Request) -> Body:
    """A label or a state; the state is what the worker's image or a person may set."""
    body, instance = request.fields, _instance(vast, request)
    check_fields(body, label=str, state=str)
    if len(body) != 1:
        raise Refusal(400, "invalid_args", "one of label and state")
    if "label" in body:
        if len(body["label"]) > 1024:
            raise Refusal(400, "label_too_long", "label_too_long")
        instance.label = body["label"]
    elif body["state"] == "stopped":
        vast.outbid(instance.id)
    elif body["state"] == "running":
        vast.win(instance.id)
    else:
        raise Refusal(400, "invalid_args", "state is running or stopped")
    return {"success": True}


def _bid(vast: FakeVast, request: Request) -> Body:
    body, instance = request.fields, _instance(vast, request)
    check_fields(body, client_id=str, price=(int, float, type(None)))
    if instance.price is None:
        raise Refusal(400, "invalid_args", "this instance is no bid")
    price = body.get("price") or instance.offer["min_bid"]
    if not 0.001 <= price <= 32:
        raise Refusal(400, "invalid_price", "invalid_price")
    instance.count()
    instance.price = instance.meter.gpu_usd_per_h = price
    if instance.actual_status == "stopped" and price >= instance.offer["min_bid"]:
        vast.win(instance.id)
    return {"success": True}


def _logs(vast: FakeVast, request: Request) -> Body:
    body, instance = request.fields, _instance(vast, request)
    check_fields(body, tail=str, filter=str, daemon_logs=str)
    number = len(vast.journal)
    path = vast.folder / f"log.{number}"
    lines = (instance.status_msg or "") if body.get("daemon_logs") == "true" else instance.log
    kept = [line[:500] for line in lines.splitlines() if body.get("filter", "") in line]
    path.write_text("\n".join(kept[-int(body.get("tail", 1000)) :]))
    return {"success": True, "result_url": f"{vast.url}/s3/{number}", "msg": "the log is on its way"}


def _file(vast: FakeVast, request: Request) -> str:
    """The place where logs are put: the first time somebody looks, it is not there yet."""
    path = vast.folder / f"log.{request.number}"
    ready = path.with_suffix(f".{request.number}.asked")
    if not path.exists() or not ready.exists():
        ready.touch()
        raise Refusal(404, "NoSuchKey", "not yet")
    return path.read_text()


def _user(vast: FakeVast, request: Request) -> Body:
    return {"id": 7, "email": "user@example.com", "credit": vast.credit_usd, "balance": 0.0, "api_key": "USERAPIKEY"}


def _charges(vast: FakeVast, request: Request) -> Body:
    query = request.query
    try:
        day = json.loads(query["select_filters"])["day"]
        limit, after = int(query.get("limit", 20)), int(query.get("after_token", 0))
        wanted = is_number(day["gte"]) and is_number(day["lte"])
    except (KeyError, ValueError, TypeError):
        wanted = False
    if not wanted or limit > 500:
        raise Refusal(400, "invalid_args", "day is a range of seconds, limit at most 500")
    vast.spent_usd()
    rows = [_charge(one, vast.clock.time()) for one in reversed(vast.instances.values()) if not one.foreign]
    rows = [row for row in rows if row["end"] >= day["gte"] and row["start"] <= day["lte"] + 86400]
    page = rows[after : after + limit]
    token = str(after + limit) if after + limit < len(rows) else None
    return {"success": True, "count": len(page), "total": len(rows), "next_token": token, "results": page}


def _charge(instance: FakeInstance, now_s: float) -> Body:
    meter = instance.meter
    items = (("gpu", meter.gpu_usd), ("disk", meter.disk_usd), ("bwd", meter.traffic_usd))
    return {
        "type": "instance",
        "source": f"instance-{instance.id}",
        "start": instance.created_s,
        "end": instance.destroyed_s or now_s,
        "amount": meter.total_usd,
        "metadata": {"label": instance.label},
        "items": [{"type": kind, "description": "", "amount": amount} for kind, amount in items if amount],
    }


def _gpu_names(vast: FakeVast, request: Request) -> Body:
    return {"gpu_names": sorted({row["gpu_name"] for row in vast.offers})}


def _old_list(vast: FakeVast, request: Request) -> Body:
    raise Refusal(410, "deprecated_endpoint", "This endpoint is deprecated; use /api/v1/instances/")


def _reboot(vast: FakeVast, request: Request) -> Body:
    check_fields(request.fields)
    vast.restart(_instance(vast, request).id)
    return {"success": True}


@dataclass(frozen=True)
class _Do:
    do: Callable[[FakeVast, Request], Any]
    right: str = ""
    """The category a key needs; empty for none."""


CALLS: Final = {
    "search": _Do(_search, "misc"),
    "create": _Do(_create, "instance_write"),
    "list": _Do(_list, "instance_read"),
    "old_list": _Do(_old_list, "instance_read"),
    "show": _Do(_show, "instance_read"),
    "destroy": _Do(_destroy, "instance_write"),
    "change": _Do(_change, "instance_write"),
    "bid": _Do(_bid, "instance_write"),
    "reboot": _Do(_reboot, "instance_write"),
    "logs": _Do(_logs, "instance_read"),
    "user": _Do(_user, "user_read"),
    "charges": _Do(_charges, "billing_read"),
    "gpu_names": _Do(_gpu_names),
    "file": _Do(_file),
}
ROUTES: Final = (
    ("POST", r"/api/v0/bundles/", "search"),
    ("PUT", r"/api/v0/asks/(\d+)/", "create"),
    ("GET", r"/api/v1/instances/", "list"),
    ("GET", r"/api/v0/instances/", "old_list"),
    ("GET", r"/api/v0/instances/(\d+)/", "show"),
    ("DELETE", r"/api/v0/instances/(\d+)/", "destroy"),
    ("PUT", r"/api/v0/instances/(\d+)/", "change"),
    ("PUT", r"/api/v0/instances/bid_price/(\d+)/", "bid"),
    ("PUT", r"/api/v0/instances/reboot/(\d+)/", "reboot"),
    ("PUT", r"/api/v0/instances/request_logs/(\d+)/", "logs"),
    ("GET", r"/api/v0/users/current/?", "user"),
    ("GET", r"/api/v0/charges/", "charges"),
    ("GET", r"/api/v0/gpu_names/unique/", "gpu_names"),
    ("GET", r"/s3/(\d+)", "file"),
)
"""Every path ends with a slash but that of the account and of files."""
