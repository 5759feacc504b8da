"""Asking the driver, through PyNvVideoCodec, what NVDEC and NVENC can do."""

from __future__ import annotations

import logging
from functools import cache
from importlib.util import find_spec
from typing import Any, Final

from kernels.backends.driver import find_driver, missing_video_library
from kernels.errors import UnavailableError
from kernels.io.capabilities import DecoderCaps, EncoderCaps
from kernels.io.nvcontext import balanced

DEVICE: Final = 0
"""The first GPU that CUDA_VISIBLE_DEVICES leaves; one process works on one."""
NO_ENCODE_DEVICE: Final = ("Error code : 1\n", "Error code : 2\n")
"""NV_ENC_ERR_NO_ENCODE_DEVICE and NV_ENC_ERR_UNSUPPORTED_DEVICE: a GPU without the engine."""
UNKNOWN_CODEC: Final = ("Error code : 8\n", "Error code : 12\n")
"""NV_ENC_ERR_INVALID_PARAM and NV_ENC_ERR_UNSUPPORTED_PARAM: about a codec, that the engine lacks it."""
NO_ENCODER: Final = "this GPU has no encoder (NVENC)"
TOO_MANY_SESSIONS: Final = "Error code : 10\n"
"""NV_ENC_ERR_OUT_OF_MEMORY, which GeForce drivers answer to one session more than they allow."""


def load() -> Any:
    """The module `PyNvVideoCodec`. Raises `UnavailableError` that says what is missing and what to do."""
    if find_spec("PyNvVideoCodec") is None:
        raise UnavailableError(
            "PyNvVideoCodec is not installed (pip install 'framehaul[cuda12]' or 'framehaul[cuda13]')"
        )
    driver = find_driver()
    if driver.problem:
        raise UnavailableError(driver.problem)
    missing = missing_video_library()
    if missing is not None:
        raise UnavailableError(
            f"the driver's {missing} is not here (in a container, start it with "
            "NVIDIA_DRIVER_CAPABILITIES=compute,utility,video)"
        )
    # It logs what it found, and on failure pages of advice that the error below says in a line.
    logger = logging.getLogger("PyNvVideoCodec")
    logger.propagate = False
    logger.addHandler(logging.NullHandler())
    try:
        import PyNvVideoCodec
    except Exception as error:  # whatever a foreign library's import raises: RuntimeError, ImportError, OSError
        if "too old" in str(error):
            raise UnavailableError(
                "the NVIDIA driver is too old for PyNvVideoCodec, which needs 530 or newer"
            ) from error
        raise UnavailableError(f"PyNvVideoCodec cannot be loaded: {first_line(error)}") from error
    return PyNvVideoCodec


@cache
def decoder_caps(codec: str, chroma: str, depth: int) -> DecoderCaps:
    """NVDEC's answer for `codec` (libav's name), `chroma` ('420', '422', '444') and `depth` bits.

    Raises `UnavailableError` when it cannot be asked.
    """
    nvc = load()
    try:
        with balanced():
            found = nvc.GetDecoderCaps(
                gpuid=DEVICE,
                codec=getattr(nvc.cudaVideoCodec, codec.upper()),
                chromaformat=getattr(nvc.cudaVideoChromaFormat, chroma),
                bitdepth=depth,
            )
    except Exception as error:  # PyNvVideoCodec's own two classes and RuntimeError have no common root
        raise UnavailableError(f"NVDEC cannot be asked: {first_line(error)}") from error
    return DecoderCaps(
        is_supported=bool(found["supported"]),
        engines=found["num_decoder_engines"],
        min_size=(found["width_min"], found["height_min"]),
        max_size=(found["width_max"], found["height_max"]),
        max_macroblocks=found["mb_num_max"],
    )


def encoder_caps(codec: str) -> EncoderCaps:
    """NVENC's answer for `codec`.

    Raises `UnavailableError` on a GPU that has no NVENC, or none for this codec, and when it cannot be asked.
    """
    found = _encoder_caps(codec)
    if isinstance(found, str):
        raise UnavailableError(found)
    return found


@cache
def _encoder_caps(codec: str) -> EncoderCaps | str:
    """`encoder_caps`, or why this GPU has none; both last, so that each is asked for once in a process."""
    nvc = load()
    try:
        with balanced():
            found = nvc.GetEncoderCaps(gpuid=DEVICE, codec=codec)
    except Exception as error:  # PyNvVideoCodec's own two classes and RuntimeError have no common root
        if any(code in str(error) for code in UNKNOWN_CODEC):
            return f"this GPU cannot encode {codec}"
        if any(code in str(error) for code in NO_ENCODE_DEVICE):
            return NO_ENCODER
        raise UnavailableError(encoder_problem(error)) from error
    return EncoderCaps(
        engines=found["num_encoder_engines"],
        max_b_frames=found["num_max_bframes"],
        has_10_bit=bool(found["support_10bit_encode"]),
        has_444=bool(found["support_yuv444_encode"]),
        min_size=(found["width_min"], found["height_min"]),
        max_size=(found["width_max"], found["height_max"]),
    )


def encoder_problem(error: Exception) -> str:
    """What an exception from opening an NVENC session means."""
    text = str(error)
    if any(code in text for code in NO_ENCODE_DEVICE):
        return NO_ENCODER
    if TOO_MANY_SESSIONS in text:
        return "NVENC opens no further session: other programs hold all that the driver allows"
    return f"NVENC cannot be opened: {first_line(error)}"


def first_line(error: Exception) -> str:
    """PyNvVideoCodec's message without its frame of function, code and place."""
    lines = [line.removeprefix("Error Type : ") for line in str(error).splitlines()]
    skipped = ("Error code", "at /")
    found = [line for line in lines if line.strip() and not line.startswith(skipped) and not line.endswith(" : ")]
    return found[0] if found else type(error).__name__
