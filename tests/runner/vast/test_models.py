"""Values from and to the wire: what is there, what is missing, what is secret."""

from __future__ import annotations

import json
from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from runner.errors import ProviderError, ReplyError
from runner.vast.config import InstanceConfig, RegistryLogin
from runner.vast.models import Charge, ChargePage, Created, Instance, Offer, Page, User
from runner.vast.refusals import answer_of, refusal
from runner.vast.search import Search
from tests.runner.vast.fake_checks import check_create
from tests.runner.vast.fake_market import make_offer, priced

if TYPE_CHECKING:
    from runner.vast.wire import Wire

# As in the documentation of the API.
INSTANCE: dict[str, Any] = {
    "id": 14782301,
    "machine_id": 31877,
    "host_id": 88012,
    "label": "runner-42-1",
    "actual_status": "running",
    "intended_status": "running",
    "cur_state": "running",
    "next_state": "running",
    "status_msg": "success, running ghcr.io/org/worker_1/args",
    "image_uuid": "ghcr.io/org/worker:1",
    "extra_env": [["SECRET", "K004secret"], ["-p 8000:8000", "1"]],
    "public_ipaddr": "203.0.113.7 \n",
    "gpu_name": "RTX 4090",
    "num_gpus": 1,
    "dph_total": 0.3458,
    "start_date": 1795332800.1,
    "uptime_mins": None,
    "jupyter_token": "TOKENsecret",
    "a_field_of_next_year": {"x": 1},
}


def test_an_instance() -> None:
    instance = Instance.from_wire("showing", INSTANCE)
    assert instance.usd_per_h == Decimal("0.3458")
    assert instance.public_ip == "203.0.113.7"
    assert instance.started is not None
    assert instance.started.year == 2026
    assert str(instance) == "instance 14782301: running, 1x RTX 4090, $0.346/h, runner-42-1"
    assert "secret" not in repr(instance)
    again = instance.to_wire()
    assert Instance.from_wire("showing", json.loads(json.dumps(again))) == instance
    assert all(INSTANCE[name] == value or name == "public_ipaddr" for name, value in again.items())


def test_an_instance_that_is_just_rented() -> None:
    instance = Instance.from_wire("showing", {"id": 5} | dict.fromkeys(set(INSTANCE) - {"id"}))
    assert str(instance) == "instance 5: new"
    assert not instance.is_running
    assert not instance.is_terminated


@pytest.mark.parametrize(
    ("actual", "intended", "running", "terminated", "lost"),
    [
        (None, "running", False, False, False),
        ("created", "running", False, False, False),
        ("loading", "running", False, False, False),
        ("running", "running", True, False, False),
        ("running", "stopped", True, False, False),
        ("rebooting", "running", False, False, False),
        ("exited", "running", False, True, False),
        ("stopped", "stopped", False, True, False),
        ("frozen", "running", False, True, False),
        ("error", "running", False, True, False),
        (None, "stopped", False, True, False),
        ("offline", "running", False, False, True),
        ("unknown", "stopped", False, False, True),
    ],
)
def test_states(actual: str | None, intended: str, *, running: bool, terminated: bool, lost: bool) -> None:
    row = {"id": 5, "actual_status": actual, "intended_status": intended}
    instance = Instance.from_wire("showing", row)
    assert (instance.is_running, instance.is_terminated, instance.is_lost) == (running, terminated, lost)


NEEDED = [
    "machine_id",
    "gpu_name",
    "num_gpus",
    "gpu_ram",
    "dph_total",
    "inet_down_cost",
    "inet_up_cost",
    "storage_cost",
]


@pytest.mark.parametrize("name", NEEDED)
@pytest.mark.parametrize("how", ["missing", "null", "nonsense"])
def test_an_offer_without_what_it_needs(name: str, how: str) -> None:
    row = priced(make_offer(0), disk_gb=16)
    if how == "missing":
        del row[name]
    else:
        row[name] = None if how == "null" else []
    with pytest.raises(ReplyError, match=f"field {name} of the answer ") as caught:
        Offer.from_wire("searching", row)
    assert ("is missing" in str(caught.value)) == (how == "missing")


def test_an_offer() -> None:
    row = priced(make_offer(0), disk_gb=16)
    offer = Offer.from_wire("searching", row | {"new": 1})
    assert str(offer) == "offer 27400000: 1x RTX 4090, $0.337/h, SE"
    assert offer.memory_gb == pytest.approx(128741 / 4 / 1000)
    assert all(row[name] == value for name, value in offer.to_wire().items())
    assert Offer.from_wire("searching", json.loads(json.dumps(offer.to_wire()))) == offer


def test_what_nothing_depends_on_hides_no_machine() -> None:
    """A field that changes its type must not keep anybody from destroying what costs money."""
    kept = {"id", "label", "image_uuid"}
    row = {name: value if name in kept else {"new": "form"} for name, value in INSTANCE.items()}
    instance = Instance.from_wire("listing", row)
    assert (instance.instance_id, instance.label, instance.image) == (14782301, "runner-42-1", "ghcr.io/org/worker:1")
    assert str(instance) == "instance 14782301: new, runner-42-1"
    for name in ("label", "image_uuid"):  # these say whose it is
        with pytest.raises(ReplyError, match=f"field {name} of the answer has an unexpected value"):
            Instance.from_wire("listing", INSTANCE | {name: 5})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
MODELS = st.sampled_from([Offer, Instance, User, Charge, Created, Page, ChargePage, InstanceConfig])
ROW = st.dictionaries(
    st.sampled_from([*INSTANCE, *make_offer(0), "credit", "results", "instances", "new_contract"]), JSON
)


@given(model=MODELS, value=JSON | ROW)
def test_no_answer_breaks_the_program(model: type[Wire], value: object) -> None:
    with suppress(ReplyError):
        read = model.from_wire("asking", value)
        assert str(read) is not None
        assert repr(read)


@given(
    status=st.integers(200, 599),
    body=st.dictionaries(st.sampled_from(["error", "msg", "detail", "new_contract", "success"]), JSON) | JSON,
    noise=st.binary(max_size=20),
    is_json=st.booleans(),
)
def test_no_refusal_breaks_the_program(status: int, body: object, noise: bytes, *, is_json: bool) -> None:
    answer = answer_of(status, {"Retry-After": "soon"}, json.dumps(body).encode() if is_json else noise)
    if not answer.is_success:
        error = refusal("asking", answer)
        assert isinstance(error, ProviderError)
        assert "\n" not in str(error)


@pytest.mark.parametrize("value", [float("inf"), float("nan"), -1])
def test_prices_are_numbers(value: float) -> None:
    with pytest.raises(ReplyError, match="dph_total"):
        Offer.from_wire("searching", priced(make_offer(0), disk_gb=16) | {"dph_total": value})


def test_the_account_without_its_secrets() -> None:
    row = {"id": 1, "credit": 12.34, "balance": 0.0, "email": "me@example.com", "api_key": "KEYsecret"}
    user = User.from_wire("reading", row)
    assert str(user) == "account 1: $12.34 left"
    assert "secret" not in repr(user)
    with pytest.raises(ReplyError, match="field credit of the answer is missing"):
        User.from_wire("reading", {"id": 1})


def test_a_charge() -> None:
    items = [{"type": "gpu", "description": "1.8 hours", "amount": 0.6}, {"type": "bwd", "amount": 0.051}]
    charge = Charge.from_wire("x", {"type": "instance", "source": "instance-14782301", "amount": 0.651, "items": items})
    assert charge.instance_id == 14782301
    assert str(charge) == "instance-14782301: $0.6510 (gpu $0.6000, bwd $0.0510)"
    assert Charge.from_wire("x", {"type": "volume", "source": "volume-7", "amount": 1}).instance_id is None


def config(**facts: Any) -> InstanceConfig:
    given = {"image": "ghcr.io/org/worker@sha256:0", "label": "ours-1", "disk_gb": 16.0, **facts}
    return InstanceConfig(**given)


def test_a_configuration_goes_there_and_back() -> None:
    login = RegistryLogin(user="bob", token="TOKENsecret", server="ghcr.io")  # noqa: S106
    given = config(args=("run", "--fast"), env={"URL": "https://x/secret"}, login=login, bid_usd_per_h=Decimal("0.21"))
    body = given.to_wire()
    check_create(body)
    assert body["image_login"] == "-u bob -p TOKENsecret ghcr.io"
    assert (body["price"], body["cancel_unavail"], body["args"]) == (0.21, True, ["run", "--fast"])
    assert InstanceConfig.from_wire("reading", json.loads(json.dumps(body))) == given
    assert "secret" not in repr(given)
    assert str(given) == "ghcr.io/org/worker@sha256:0 as ours-1, 16 GB, bid $0.210/h"
    assert "secret" not in repr(login)
    assert str(login) == "bob at ghcr.io"


def test_a_script_in_place_of_arguments() -> None:
    body = config(runtype="ssh_direct", onstart="echo hi").to_wire()
    check_create(body)
    assert "args" not in body
    assert InstanceConfig.from_wire("reading", body).onstart == "echo hi"


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"image": ""}, "image"),
        ({"image": "x" * 1025}, "image"),
        ({"label": "x" * 257}, "label"),
        ({"disk_gb": 7.9}, "disk"),
        ({"disk_gb": float("nan")}, "disk"),
        ({"bid_usd_per_h": 0}, "bid_usd_per_h"),
        ({"bid_usd_per_h": 129}, "bid_usd_per_h"),
        ({"env": {"A B": "1"}}, "env"),
        ({"env": {"--gpus": "all"}}, "env"),
        ({"env": {"A": "x" * 32768}}, "32768"),
        ({"args": ("x" * 16385,)}, "16384"),
        ({"args": ("x",), "runtype": "ssh"}, "run type args"),
        ({"runtype": "jupyter"}, "runtype"),
    ],
)
def test_what_cannot_be_started(facts: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        config(**facts)


@pytest.mark.parametrize("text", ["bob:secret", "-u bob -p 'a secret' ghcr.io", "-u bob -p secret", ""])
def test_a_login_that_is_none_is_not_shown(text: str) -> None:
    with pytest.raises(ValueError, match="-u USER -p TOKEN SERVER") as caught:
        RegistryLogin.parse(text)
    assert "secret" not in str(caught.value)
    with pytest.raises(ReplyError) as told:
        InstanceConfig.from_wire("reading", config().to_wire() | {"image_login": text})
    assert "secret" not in str(told.value)


@pytest.mark.parametrize("facts", [{"kind": "reserved"}, {"where": {"gpu_ram": {"about": 5}}}])
def test_a_search_that_makes_no_sense(facts: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="allowed are"):
        Search(**facts)
