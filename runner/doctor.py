"""What this machine can do, found out without changing anything; behind `runner doctor`."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from runner.memory import usable_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

MIB: Final = 1 << 20

# A 2160p job stays under 1.2 GB; below twice that the system starts to swap beside it.
MIN_MEMORY_BYTES: Final = 2 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool
    found: str
    """What is there, or why it is not."""
    advice: str = ""
    """What to do when it is not there; empty when it is."""
    required: bool = False
    """Whether work on the CPU needs it."""

    @property
    def mark(self) -> str:
        return "ok" if self.ok else "FAIL" if self.required else "no"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def examine() -> list[Check]:
    """Every check, cheapest first. Takes about a second: codecs and the CUDA driver are really asked."""
    return [
        _python(),
        *map(_package, ("framehaul", "numpy", "numba", "av")),
        _cores(),
        _memory(),
        _compile_cache(),
        *_codecs(),
        _ffmpeg_program(),
        *_cuda(),
    ]


def _python() -> Check:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    good = sys.version_info >= (3, 11)
    return Check(
        name="python", ok=good, found=found, advice="" if good else "install Python 3.11 or newer", required=True
    )


def _package(name: str) -> Check:
    found = _version(name)
    advice = "" if found else "install the package into this environment again: pip install --force-reinstall framehaul"
    return Check(name=name, ok=found is not None, found=found or "not installed", advice=advice, required=True)


def _cores() -> Check:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    total = os.cpu_count() or usable
    found = f"{usable} usable" if usable == total else f"{usable} of {total} usable"
    return Check(name="cores", ok=True, found=found)


def _memory() -> Check:
    usable = usable_bytes()
    if usable is None:
        return Check(name="memory", ok=True, found="unknown")
    good = usable >= MIN_MEMORY_BYTES
    advice = "" if good else "enough for 1080p; for 2160p use a machine with 2 GiB or more"
    return Check(name="memory", ok=good, found=f"{usable / MIB:.0f} MiB", advice=advice)


def _compile_cache() -> Check:
    """Where compiled kernels are kept; without it every run compiles again."""
    from kernels import compile_cache

    folder = compile_cache.prepare()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        good = os.access(folder, os.W_OK | os.X_OK)
        found = str(folder) if good else f"{folder} cannot be written"
    except OSError as error:
        good, found = False, f"{folder}: {(error.strerror or str(error)).lower()}"
    advice = "" if good else "set NUMBA_CACHE_DIR to a folder of yours; until then every run compiles again"
    return Check(name="kernel cache", ok=good, found=found, advice=advice)


# What the codec names of `runner run` need in PyAV's FFmpeg: (encoder, what it is for).
_ENCODERS: Final = {
    "libx264": "--codec h264",
    "libx265": "--codec hevc",
    "libsvtav1": "--codec av1",
    "libvpx-vp9": "--codec vp9",
    "ffv1": "--codec ffv1",
    "aac": "--audio-codec aac",
    "libopus": "--audio-codec opus",
    "flac": "--audio-codec flac",
}
_DECODERS: Final = ("h264", "hevc", "libdav1d", "av1", "vp9", "mpeg2video", "mpeg4", "prores", "ffv1")


def _codecs() -> list[Check]:
    try:
        import av
        from av.codec import Codec
        from av.codec.codec import UnknownCodecError
    except ImportError as error:
        advice = "install the package into this environment again: pip install --force-reinstall av"
        return [Check(name="codecs", ok=False, found=f"PyAV cannot be loaded: {error}", advice=advice, required=True)]

    def has(name: str, mode: Any) -> bool:
        try:
            Codec(name, mode)
        except UnknownCodecError:
            return False
        return True

    checks = []
    for mode, names in (("w", tuple(_ENCODERS)), ("r", _DECODERS)):
        missing = [name for name in names if not has(name, mode)]
        present = [name for name in names if name not in missing]
        title = "encoders" if mode == "w" else "decoders"
        without = ", ".join(_ENCODERS.get(name, name) for name in missing)
        advice = (
            f"install PyAV from PyPI, whose FFmpeg has all of them; until then not possible: {without}"
            if missing
            else ""
        )
        checks.append(Check(name=title, ok=not missing, found=", ".join(present) or "none", advice=advice))
    av.logging.set_level(av.logging.PANIC)
    return checks


def _ffmpeg_program() -> Check:
    """Only tests and benchmarks use the program: decoding and encoding go through PyAV's own FFmpeg."""
    program = shutil.which("ffmpeg")
    advice = "" if program else "nothing to do, `runner` brings its own codecs; tests and benchmarks compare with it"
    return Check(name="ffmpeg program", ok=program is not None, found=program or "not found on PATH", advice=advice)


def _cuda() -> list[Check]:
    driver = _driver()
    extra = "pip install 'framehaul[cuda12]' or 'framehaul[cuda13]', as the driver allows"
    wanted = extra if driver.ok else "useless here without an NVIDIA driver"
    return [
        driver,
        _optional("nvrtc", ("nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12"), None, wanted),
        _optional("cupy", ("cupy-cuda13x", "cupy-cuda12x", "cupy"), "cupy", wanted),
        _optional("PyNvVideoCodec", ("PyNvVideoCodec",), "PyNvVideoCodec", wanted),
        _filters(),
        _hardware("NVDEC", _decoders, "decoding"),
        _hardware("NVENC", _encoders, "encoding"),
    ]


def _driver() -> Check:
    """The CUDA driver, asked through its own library: how many devices, and which CUDA it speaks."""
    from kernels.backends.driver import find_driver

    driver = find_driver()
    found = driver.problem or f"CUDA {driver.cuda[0]}.{driver.cuda[1]}, {', '.join(driver.devices)}"
    return Check(name="CUDA driver", ok=not driver.problem, found=found, advice=driver.advice)


def _filters() -> Check:
    """Whether kernels run on the GPU: the driver, CuPy and its libraries together."""
    from kernels.backends import probe

    reason = probe()
    advice = "nothing to do: filters run on the CPU" if reason else ""
    return Check(name="GPU filters", ok=not reason, found=reason or "CUDA kernels run", advice=advice)


def _hardware(name: str, ask: Callable[[], list[str]], work: str) -> Check:
    """One of the GPU's codec engines: what it can do, or why it is not used."""
    from kernels.errors import UnavailableError

    advice = f"nothing to do: {work} runs on the CPU"
    try:
        found = ask()
    except UnavailableError as error:
        return Check(name=name, ok=False, found=str(error), advice=advice)
    return Check(name=name, ok=bool(found), found=", ".join(found) or "no codec", advice="" if found else advice)


def _decoders() -> list[str]:
    from kernels.io.capabilities import HARDWARE_DECODED
    from kernels.io.nvcaps import decoder_caps

    found, engines = [], 0
    for codec in HARDWARE_DECODED:
        shapes = [("420", 8), ("420", 10), ("422", 8), ("422", 10), ("444", 8), ("444", 10)]
        caps = [(chroma, depth, decoder_caps(codec, chroma, depth)) for chroma, depth in shapes]
        able = [f"{':'.join(chroma)}/{depth}" for chroma, depth, answer in caps if answer.is_supported]
        engines = max(engines, *(answer.engines for _, _, answer in caps))
        found += [f"{codec} {' '.join(able)}"] if able else []
    return [*found, _count(engines)] if found else []


def _encoders() -> list[str]:
    from kernels.errors import UnavailableError
    from kernels.io.capabilities import HARDWARE_ENCODED
    from kernels.io.nvcaps import encoder_caps

    found, engines, problem = [], 0, None
    for codec in HARDWARE_ENCODED:
        try:
            caps = encoder_caps(codec)
        except UnavailableError as error:
            problem = problem or error
            continue
        able = ["4:2:0/8", *["4:2:0/10"] * caps.has_10_bit, *["4:4:4/8"] * caps.has_444]
        found.append(f"{codec} {' '.join(able)}")
        engines = max(engines, caps.engines)
    if problem is not None and not found:
        raise problem
    return [*found, _count(engines)]


def _count(engines: int) -> str:
    return f"{engines} engine" if engines == 1 else f"{engines} engines"


def _optional(name: str, distributions: tuple[str, ...], module: str | None, advice: str) -> Check:
    """A package that only the CUDA backend needs; found by its files, never imported."""
    for distribution in distributions:
        found = _version(distribution)
        if found is not None and (module is None or find_spec(module) is not None):
            return Check(name=name, ok=True, found=f"{distribution} {found}")
    return Check(name=name, ok=False, found="not installed", advice=advice)


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
