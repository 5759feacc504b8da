"""The options of a job become its spec, and its plan is shown to people and programs."""

from __future__ import annotations

import inspect
import json
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
import typer

from kernels.errors import ChainError, ContainerError, EncodeSettingsError
from runner.cli.job_options import JobOptions, job_options, make_spec, read_settings
from runner.cli.plan_view import show_plan
from runner.errors import UsageError
from runner.planning import plan_job
from runner.setting_table import SETTINGS
from runner.spec import JobSpec, Market
from storage.uri import parse
from tests.runner.jobs import NOW_S, conditions, facts_of, offer_of, spec_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., JobSpec]:
    """`given(words)`: the spec that a command with those options makes, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for setting in SETTINGS:
        monkeypatch.setenv(setting.variable, "to be taken back, whatever .env sets")
        monkeypatch.delenv(setting.variable)

    def run(*words: str) -> JobSpec:
        made: list[JobSpec] = []

        @job_options
        def submit(source: str, target: str, *, options: JobOptions) -> None:
            made.append(make_spec(parse(source), parse(target), options, read_settings(options)))

        app = typer.Typer(rich_markup_mode=None)
        app.command()(submit)
        typer.main.get_command(app).main(list(words), standalone_mode=False)
        return made[0]

    return run


@pytest.mark.parametrize("secret", ["?X-Amz-Expires=60&X-Amz-Signature=abc", "?token=abc"])
def test_a_web_address_with_a_secret_is_no_input(given: Callable[..., JobSpec], secret: str) -> None:
    with pytest.raises(UsageError, match="must not lie in a plan; copy the video first with `runner cp") as refused:
        given(f"https://host/in.mp4{secret}", "b2://bucket/out.mp4")
    assert "abc" not in str(refused.value)
    with pytest.raises(UsageError):
        given("https://me:abc@host/in.mp4", "b2://bucket/out.mp4", "--on", "local")
    assert given("https://host/in.mp4?id=7", "b2://bucket/out.mp4").input == "https://host/in.mp4?id=7"


BOTH = ("b2://bucket/in.mkv", "b2://bucket/out.mp4")


def test_without_options_it_is_the_defaults(given: Callable[..., JobSpec]) -> None:
    spec = given(*BOTH)
    assert (spec.container, spec.encode.codec, spec.chain) == ("mp4", "h264", "")
    assert (spec.provider, spec.segment_s, spec.backend) == ("vast", 30, "auto")
    assert spec.max_price_usd_per_h == Decimal("0.60")
    assert spec.budget_usd == Decimal("2.00")
    assert spec.deadline_s == 86_400
    assert spec.requirements.verified
    assert spec.requirements.min_vram_gb == 12


def test_every_option_arrives(given: Callable[..., JobSpec], tmp_path: Path) -> None:
    video = "--vf scale=iw*2:-2,cas=0.5 --codec hevc --crf 22 --preset fast --pix-fmt yuv420p10"
    video += " --start 1:30 --duration 10 -y"
    money = "--max-price 0.25 --budget 1.5 --deadline 2h --on vast --encoder software --segment-s 20 --keyless"
    machine = "--gpu rtx_4090,L4 --gpu RTX5090 --exclude-machine 7,8 --country se --no-verified --market bid --disk 40"
    spec = given("in.mkv", "out.mkv", *video.split(), *money.split(), *machine.split())
    assert spec.input == str(tmp_path / "in.mkv")
    assert spec.chain == "scale=w=iw*2:h=-2,cas=strength=0.5"
    assert (spec.encode.codec, spec.encode.crf, spec.encode.preset) == ("hevc", 22, "fast")
    assert (spec.encode.encoder, spec.encode.pix_fmt) == ("software", "yuv420p10")
    assert (spec.start_s, spec.duration_s, spec.overwrite, spec.keyless) == (Fraction(90), Fraction(10), True, True)
    assert (spec.max_price_usd_per_h, spec.budget_usd) == (Decimal("0.25"), Decimal("1.5"))
    assert (spec.deadline_s, spec.segment_s) == (7200, 20)
    needs = spec.requirements
    assert needs.gpu_names == ("RTX 4090", "L4", "RTX 5090")
    assert needs.machines_excluded == (7, 8)
    assert (needs.countries, needs.verified, needs.market, needs.min_disk_gb) == (("SE",), False, Market.BID, 40)


def test_this_machine_costs_nothing_and_has_no_limits(given: Callable[..., JobSpec]) -> None:
    spec = given(*BOTH, "--on", "local")
    assert (spec.provider, spec.max_price_usd_per_h, spec.budget_usd) == ("local", None, None)


def test_files_are_read_where_the_command_runs(given: Callable[..., JobSpec], tmp_path: Path) -> None:
    (tmp_path / "framehaul.toml").write_text("budget = 9\n[presets.mine]\nmin_vram = 20\n")
    (tmp_path / ".env").write_text("FRAMEHAUL_MACHINE_PRESET=mine\nFRAMEHAUL_MAX_PRICE=0.1\n")
    spec = given(*BOTH)
    assert (spec.budget_usd, spec.max_price_usd_per_h) == (Decimal(9), Decimal("0.1"))
    assert spec.requirements.min_vram_gb == 20


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["--budget", "0"], UsageError, "--budget: budget 0: must be dollars"),
        (["--on", "aws"], UsageError, "--on: provider aws: must be vast or local"),
        (["--segment-s", "0"], UsageError, "must be more than 0"),
        (["--segment-s", "61"], UsageError, "at most 60"),
        (["--machine-preset", "huge"], UsageError, "unknown machine preset"),
        (["--vf", "scael=2"], ChainError, "did you mean 'scale'"),
        (["--codec", "vp8"], EncodeSettingsError, "unknown codec"),
        (["--audio-codec", "wma"], ContainerError, "unknown audio codec"),
        (["--start", "soon"], UsageError, "--start soon"),
    ],
)
def test_what_is_wrong_is_refused_before_anything_is_read(
    given: Callable[..., JobSpec], words: Sequence[str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        given(*BOTH, *words)


def test_no_option_is_there_twice() -> None:
    @job_options
    def submit(source: str, *, options: JobOptions, json: bool = False) -> None:
        del source, options, json

    parameters = inspect.signature(submit).parameters
    flags: list[str] = []
    for one in parameters.values():
        for extra in getattr(one.annotation, "__metadata__", ()):
            flags += [word for declared in extra.param_decls or () for word in declared.split("/")]
    assert len(flags) == len(set(flags))
    assert list(parameters)[:2] == ["source", "json"]


def planned(**changes: Any) -> Any:
    offers = [offer_of(1), offer_of(2, gpu_name="RTX 5090", price_usd_per_h=Decimal("0.70"))]
    return plan_job(spec_of(**changes), facts_of(), offers, run="r", code_version="1", now=conditions())


def test_a_plan_as_json_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    show_plan(planned(), now_s=NOW_S, json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["frames"], told["segments"], told["encoder"]) == (3000, 4, "software")
    (offer,) = told["offers"]
    cost = offer["cost_usd"]
    assert cost["low"] <= cost["likely"] <= cost["high"]
    assert cost["likely"] <= cost["expected"]
    assert 0 < offer["ends_in_s"] <= 86_400 * 10
    assert told["refused"][0]["id"] == "2"
    assert told["limits"] == {"max_price_usd_per_h": 0.6, "budget_usd": 2.0, "deadline_s": None}


def test_a_plan_as_text_says_what_was_done(capsys: pytest.CaptureFixture[str]) -> None:
    show_plan(planned(), now_s=NOW_S)
    text = capsys.readouterr().out
    assert "RTX 4090" in text
    assert "above the limit of $0.60/h" in text
    assert text.rstrip().endswith("nothing was rented")
    assert max(map(len, text.splitlines())) < 160
