"""Every form in which the service refuses leads to the error that says what it means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from runner.cli.exit_codes import ExitCode, exit_code
from runner.errors import (
    CreditError,
    OfferGoneError,
    ProviderError,
    ProviderKeyError,
    RateLimitError,
    RefusedError,
    UnansweredError,
    UnknownOutcomeError,
)
from runner.vast.api import VastClient
from runner.vast.refusals import CreateFailedError, InstanceGoneError, answer_of, refusal
from tests.runner.vast.fake import IMAGE, FakeVast
from tests.runner.vast.test_client import config

if TYPE_CHECKING:
    from runner.vast.config import InstanceConfig
    from tests.runner.vast.clocks import VirtualClock


def said(code: str, text: str = "", field: str = "msg") -> dict[str, Any]:
    return {"success": False, "error": code, field: text}


ASK = "error 404/3603: no_such_ask Instance type by id 7 is not available."
TABLE: list[tuple[int, Any, type[ProviderError]]] = [
    (400, said("invalid_args", "disk"), RefusedError),
    (400, said("invalid_price"), RefusedError),
    (400, said("no_ssh_key_for_vm"), RefusedError),
    (400, said("label_too_long"), RefusedError),
    (400, None, RefusedError),
    (483, said("invalid_args"), RefusedError),
    (400, said("missing_billing"), CreditError),
    (400, said("insufficient_credit"), CreditError),
    (403, said("insufficient_credit"), CreditError),
    (403, said("spend_rate_limit"), CreditError),
    (400, said("no_such_ask"), OfferGoneError),
    (404, said("no_such_ask"), OfferGoneError),
    (410, said("no_such_ask"), OfferGoneError),
    (400, said("invalid_args", ASK), OfferGoneError),
    (404, said("invalid_args", ASK, "message"), OfferGoneError),
    (410, said("", "this offer is no longer available", "detail"), OfferGoneError),
    (401, said("auth_error", "Invalid user key"), ProviderKeyError),
    (401, said("", "Your key lacks proper privileges: Two Factor Authentication"), ProviderKeyError),
    (401, None, ProviderKeyError),
    (403, said("auth_error", "This action requires login."), ProviderKeyError),
    (403, said("3586", "hosts only"), ProviderKeyError),
    (403, said("not_authorized"), ProviderKeyError),
    (404, said("auth_error", "Invalid user key"), ProviderKeyError),
    (404, said("auth_error", "Session expired, please log in"), ProviderKeyError),
    (404, said("no_such_instance", "No such instance 7"), InstanceGoneError),
    (404, said("not_found"), InstanceGoneError),
    (404, said("invalid_id"), InstanceGoneError),
    (200, said("no_such_instance", "No such instance 7"), InstanceGoneError),
    (404, "<html>Not Found</html>", RefusedError),
    (404, None, RefusedError),
    (410, said("deprecated_endpoint"), RefusedError),
    (429, "API requests too frequent: endpoint threshold=2.0", RateLimitError),
    (429, {"detail": "API requests too frequent endpoint threshold=2.0"}, RateLimitError),
    (429, said("rate_limit_exceeded", "slow down"), RateLimitError),
    (429, None, RateLimitError),
    (429, said("search_quota_exceeded"), RateLimitError),
    (200, said("anything else"), RefusedError),
    (200, "<html>", RefusedError),
    (308, None, RefusedError),
    (408, None, UnansweredError),
    (500, "<html>Internal Server Error</html>", UnansweredError),
    (502, None, UnansweredError),
    (503, said("auth_error", "Invalid user key"), UnansweredError),
    (504, "upstream", UnansweredError),
]


@pytest.mark.parametrize(("status", "body", "kind"), TABLE)
def test_table(vast: FakeVast, client: VastClient, status: int, body: Any, kind: type[ProviderError]) -> None:
    vast.break_next("change", status=status, body=body, times=99)
    with pytest.raises(kind) as caught:
        client.label(7, "x")
    assert type(caught.value) is kind
    assert exit_code(caught.value) == ExitCode.PROVIDER
    message = str(caught.value)
    assert message.startswith(f"labelling instance 7: Vast.ai answered {status}")
    assert "\n" not in message
    assert "<" not in message


@pytest.mark.parametrize("fault", [{"drop": True}, {"lose": True}, {"cut": True}])
def test_no_answer_at_all(vast: FakeVast, client: VastClient, fault: dict[str, bool]) -> None:
    vast.break_next("user", times=99, **fault)
    with pytest.raises(UnansweredError, match="reading the account: the "):
        client.user()


def test_nobody_is_there(vast: FakeVast, clock: VirtualClock) -> None:
    lost = VastClient(vast.client()._http.key, url="http://127.0.0.1:9", clock=clock.time, sleep=clock.sleep)
    with pytest.raises(UnansweredError, match="reading the account: the connection failed") as caught, lost:
        lost.user()
    assert exit_code(caught.value) == ExitCode.PROVIDER


@pytest.mark.parametrize("key", ["wrong", "", "rights"])
def test_a_key_that_may_not_says_nothing_about_instances(vast: FakeVast, client: VastClient, key: str) -> None:
    """A wrong key is answered with 404, as is an instance that is gone: who mixes them up leaves machines running."""
    number = client.create(27400000, config()).instance_id
    with vast.client(vast.add_key("user_read") if key == "rights" else key or "x") as other:
        for call in (lambda: other.show(number), lambda: other.destroy(number), other.instances):
            with pytest.raises(ProviderKeyError, match="check the key"):
                call()
    assert vast.billing() == [number]


def test_an_answer_is_one_line_whatever_it_holds() -> None:
    answer = answer_of(400, {}, b'{"error": "x", "msg": "a\\n\\u001b[31mb<script>c</script>"}')
    assert str(refusal("asking", answer)) == "asking: Vast.ai answered 400 x (a [31mb c)"


class TestRenting:
    """Sent once, whatever comes back."""

    @pytest.fixture
    def wanted(self) -> InstanceConfig:
        return config("ours-once")

    def sent(self, vast: FakeVast) -> int:
        return len(vast.calls("create"))

    @pytest.mark.parametrize(("status", "body", "kind"), [row for row in TABLE if row[2] is not InstanceGoneError])
    def test_table(
        self,
        vast: FakeVast,
        client: VastClient,
        wanted: InstanceConfig,
        status: int,
        body: Any,
        kind: type[ProviderError],
    ) -> None:
        vast.break_next("create", status=status, body=body, times=9)
        with pytest.raises(ProviderError) as caught:
            client.create(27400000, wanted)
        unknown = kind is UnansweredError or (status == 200 and isinstance(body, str))
        assert type(caught.value) is (UnknownOutcomeError if unknown else kind)
        assert self.sent(vast) == 1

    @pytest.mark.parametrize("fault", [{"lose": True}, {"cut": True}, {"after": True, "status": 502}])
    def test_a_lost_answer_names_the_label_to_look_for(
        self, vast: FakeVast, client: VastClient, wanted: InstanceConfig, fault: dict[str, Any]
    ) -> None:
        vast.break_next("create", **fault)
        with pytest.raises(UnknownOutcomeError, match="an instance may exist under label ours-once"):
            client.create(27400000, wanted)
        assert self.sent(vast) == 1
        assert [one.label for one in client.instances()] == ["ours-once"]

    @pytest.mark.parametrize("status", [200, 400, 500])
    def test_a_failure_that_speaks_of_an_instance(
        self, vast: FakeVast, client: VastClient, wanted: InstanceConfig, status: int
    ) -> None:
        vast.break_next("create", after=True, status=status, body=said("invalid_price"), contract=True)
        with pytest.raises(CreateFailedError) as caught:
            client.create(27400000, wanted)
        assert vast.billing() == [caught.value.instance_id]
        assert isinstance(caught.value, UnknownOutcomeError)

    @pytest.mark.parametrize("body", [{"success": True}, {"success": True, "new_contract": "7"}, {"new_contract": 0}])
    def test_success_without_a_number_is_none(
        self, vast: FakeVast, client: VastClient, wanted: InstanceConfig, body: dict[str, Any]
    ) -> None:
        vast.break_next("create", status=200, body=body)
        with pytest.raises(UnknownOutcomeError, match="field new_contract"):
            client.create(27400000, wanted)

    @pytest.mark.parametrize("number", [27400000, 27400001, 27400002])
    def test_an_offer_that_somebody_else_has(self, client: VastClient, number: int) -> None:
        client.create(number, config("first"))
        with pytest.raises(OfferGoneError, match="take another offer"):
            client.create(number, config("second"))

    def test_no_money(self, vast: FakeVast, client: VastClient, wanted: InstanceConfig) -> None:
        vast.initial_credit_usd = 0.0
        with pytest.raises(CreditError, match="billing"):
            client.create(27400000, wanted)

    def test_a_bid_that_is_too_low_leaves_nothing(self, vast: FakeVast, client: VastClient) -> None:
        with pytest.raises(RefusedError, match="invalid_price"):
            client.create(27400000, config(price=0.01))
        assert vast.billing() == []

    def test_a_private_image(self, vast: FakeVast, client: VastClient) -> None:
        client.create(27400000, config(image_login="-u bob -p token ghcr.io"))
        assert vast.calls("create")[0].body["image_login"] == "-u bob -p token ghcr.io"
        assert vast.calls("create")[0].body["image"] == IMAGE
