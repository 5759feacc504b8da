"""The options of a job that is done elsewhere: those of `runner run`, and every setting of the list.

    @job_options
    def submit(*, source: ..., options: JobOptions, ...) -> None:

gives `submit` all of them; Typer sees one signature, and nothing is written down twice.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar, get_type_hints

import typer

from runner.cli.run import DEFAULT_CODECS, container_name, run
from runner.errors import UsageError
from runner.setting_table import SETTINGS, Kind, Setting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runner.settings import Settings
    from runner.spec import EncodeSpec, JobSpec, Requirements
    from storage.uri import Uri

R = TypeVar("R")

VIDEO_OPTIONS: Final = (
    "vf", "codec", "crf", "preset", "pix_fmt", "audio_codec", "subtitles", "drop_unsupported", "start", "duration",
    "autorotate", "strict", "overwrite",
)  # fmt: skip
"""Parameters of `runner run` that mean the same here."""
SHORT_SEGMENT_S: Final = 10.0
_METAVARS: Final = {
    Kind.TEXT: "TEXT",
    Kind.CHOICE: "NAME",
    Kind.NUMBER: "N",
    Kind.COUNT: "N",
    Kind.DOLLARS: "USD",
    Kind.LENGTH: "TIME",
    Kind.NAMES: "NAMES",
    Kind.NUMBERS: "NUMBERS",
}


@dataclass(frozen=True, slots=True)
class JobOptions:
    """What was given on the command line."""

    video: Mapping[str, Any]
    """By the names of `runner run`'s parameters."""
    settings: Mapping[str, Any]
    """By the names of settings; None for those left out."""


def job_options(command: Callable[..., R]) -> Callable[..., R]:
    """`command` with every option of a job, handed to it as its parameter `options`."""
    own = inspect.signature(command)
    hints = get_type_hints(command, include_extras=True)
    video = _video_parameters()
    chosen = [_parameter(setting) for setting in SETTINGS if setting.flag]

    @wraps(command)
    def wrapper(**given: Any) -> R:
        options = JobOptions(
            {one.name: given.pop(one.name) for one in video},
            {one.name: given.pop(one.name) for one in chosen},
        )
        return command(**given, options=options)

    kept = [one.replace(annotation=hints[one.name]) for one in own.parameters.values() if one.name != "options"]
    parameters = [*kept, *video, *chosen]
    wrapper.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined] # what inspect looks for
    wrapper.__annotations__ = {one.name: one.annotation for one in parameters}
    return wrapper


def read_settings(options: JobOptions) -> Settings:
    """The settings that hold for a command with `options` in this folder, `.env` read. Raises `UsageError`."""
    import os
    from pathlib import Path

    from runner.dotenv import load_dotenv
    from runner.settings import load_settings

    load_dotenv(Path.cwd(), os.environ)
    return load_settings(options.settings, environment=os.environ, folder=Path.cwd())


def make_spec(source: Uri, target: Uri, options: JobOptions, settings: Settings) -> JobSpec:
    """The job, with everything checked that needs no look at the source.

    Raises `UsageError`, `ChainError`, `ContainerError`, `FormatError` or `EncodeSettingsError`.
    """
    from kernels.catalogue import CATALOGUE
    from kernels.chain import format_chain, parse_chain
    from kernels.io.containers import check_codec, container_of
    from runner.cli.times import parse_length, parse_time
    from runner.inspection import encode_settings, stream_choices
    from runner.spec import JobSpec, StreamSpec

    video, get = options.video, settings.get
    container = container_name(target)
    container_of(container)
    encode = _encode_spec(video, container, get("encoder"))
    encode_settings(encode)
    check_codec(container, encode.codec)
    streams = StreamSpec(
        audio_codec=video["audio_codec"], subtitles=video["subtitles"], drop_unsupported=video["drop_unsupported"]
    )
    stream_choices(streams)
    if get("segment_s") <= 0:
        raise UsageError(f"{settings.origin('segment_s')}: segment_s 0: must be more than 0, at most 60")
    is_paid = get("provider") != "local"
    return JobSpec(
        input=_whole(source),
        output=_whole(target),
        chain=format_chain(parse_chain(video["vf"], CATALOGUE)),
        container=container,
        encode=encode,
        streams=streams,
        start_s=parse_time(video["start"], option="--start"),
        duration_s=parse_length(video["duration"], option="--duration"),
        autorotate=video["autorotate"],
        strict=video["strict"],
        overwrite=video["overwrite"],
        backend=get("backend"),
        segment_s=get("segment_s"),
        provider=get("provider"),
        requirements=requirements_of(settings),
        image=get("image"),
        max_price_usd_per_h=get("max_price") if is_paid else None,
        budget_usd=get("budget") if is_paid else None,
        deadline_s=get("deadline"),
        keyless=get("keyless"),
    )


def requirements_of(settings: Settings) -> Requirements:
    """What the settings ask of a machine, with GPU names as the provider writes them."""
    from runner.gpus import provider_name
    from runner.spec import Requirements

    found = {one.requirement: settings.get(one.name) for one in SETTINGS if one.requirement is not None}
    given: dict[str, Any] = {name: value for name, value in found.items() if value is not None}
    for name in ("gpu_names", "gpu_excluded"):
        given[name] = tuple(map(provider_name, given.get(name, ())))
    for name in ("countries", "countries_excluded"):
        given[name] = tuple(code.upper() for code in given.get(name, ()))
    return Requirements(**given)


def _encode_spec(video: Mapping[str, Any], container: str, encoder: Any) -> EncodeSpec:
    from runner.spec import EncodeSpec

    return EncodeSpec(
        codec=video["codec"] or DEFAULT_CODECS.get(container, "h264"),
        encoder=encoder,
        crf=video["crf"],
        preset=video["preset"],
        pix_fmt=video["pix_fmt"],
    )


def _whole(uri: Uri) -> str:
    """A location that means the same in every folder. Raises `UsageError` for one with a secret: plans are no place
    for it.
    """
    from urllib.parse import urldefrag

    from storage.uri import LocalUri, WebUri

    if isinstance(uri, LocalUri):
        return str(uri.path.absolute())
    if isinstance(uri, WebUri) and str(uri) != urldefrag(uri.url).url:
        raise UsageError(
            f"{uri} was given with a signature or password, which must not lie in a plan; copy the video first with "
            f"`runner cp URL b2://bucket/{uri.name}`, and give that"
        )
    return str(uri)


def _video_parameters() -> list[inspect.Parameter]:
    hints = get_type_hints(run, include_extras=True)
    known = inspect.signature(run).parameters
    return [known[name].replace(annotation=hints[name]) for name in VIDEO_OPTIONS]


def _parameter(setting: Setting) -> inspect.Parameter:
    """The option of a setting: nothing is checked here, since settings are checked in one place."""
    kind: Any = str | None
    names = (setting.flag,)
    default = f" [{setting.default}]" if setting.default not in (None, "false", "true") else ""
    metavar: str | None = " | ".join(setting.choices) if setting.choices else _METAVARS.get(setting.kind)
    if setting.kind is Kind.FLAG:
        kind, names, metavar = bool | None, (f"{setting.flag}/--no-{setting.flag.removeprefix('--')}",), None
    elif setting.kind in (Kind.NAMES, Kind.NUMBERS):
        kind = list[str] | None

    def complete() -> list[str]:
        return list(setting.choices)

    option = typer.Option(
        *names, metavar=metavar, help=setting.summary + default, autocompletion=complete if setting.choices else None
    )
    return inspect.Parameter(
        setting.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, option]
    )
