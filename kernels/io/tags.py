"""What a new file says about its streams: the old file's tags, without those about the old file's bytes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kernels.io.containers import Container

# Written by the muxer for the new file; those of the old one would be false.
_OWN: Final = frozenset(
    {
        "major_brand",
        "minor_version",
        "compatible_brands",
        "encoder",
        "duration",
        "handler_name",
        "vendor_id",
        "alpha_mode",
        "number_of_frames",
        "number_of_bytes",
        "bps",
        "filename",
        "mimetype",
    }
)
# Track names that muxers write when nobody gave one.
_DEFAULT_HANDLERS: Final = re.compile(r"handler|mainconcept|^\W*$|^(sound|video|stereo|mono|surround)$", re.IGNORECASE)
# QuickTime numbers its languages; libav names each by one of its two codes of ISO 639-2, and knows only that one.
_QUICKTIME_LANGUAGES: Final = {
    "deu": "ger",
    "fre": "fra",
    "nld": "dut",
    "ell": "gre",
    "isl": "ice",
    "zho": "chi",
    "swe": "sve",
    "cze": "ces",
    "slo": "slk",
    "rum": "ron",
    "mkd": "mac",
    "hye": "arm",
    "kat": "geo",
    "bod": "tib",
    "eus": "baq",
    "msa": "may",
    "cym": "wel",
    "fas": "per",
    "sqi": "alb",
    "mya": "bur",
}
# Keys that MP4 has boxes of its own for (iTunes metadata); others need the key table of QuickTime.
_MP4_KEYS: Final = frozenset(
    {
        "title",
        "artist",
        "album_artist",
        "composer",
        "album",
        "date",
        "comment",
        "genre",
        "copyright",
        "grouping",
        "lyrics",
        "description",
        "synopsis",
        "show",
        "episode_id",
        "network",
        "keywords",
        "episode_sort",
        "season_number",
        "media_type",
        "hd_video",
        "gapless_playback",
        "compilation",
        "track",
        "disc",
        "creation_time",
        "timecode",
        "location",
    }
)


def kept_tags(metadata: Mapping[str, str]) -> dict[str, str]:
    """`metadata` without the entries that describe the old file's bytes."""
    return {key: value for key, value in metadata.items() if _plain(key) not in _OWN}


def file_tags(metadata: Mapping[str, str], container: Container) -> dict[str, str]:
    """The tags of the whole file. Matroska shouts its names; MP4 knows them in lower case."""
    kept = kept_tags(metadata)
    return {key.lower(): value for key, value in kept.items()} if container.is_mp4 else kept


def needs_key_table(metadata: Mapping[str, str]) -> bool:
    """Whether some tag would be lost in MP4's own boxes."""
    return not {key.lower() for key in kept_tags(metadata)} <= _MP4_KEYS


def stream_tags(metadata: Mapping[str, str], container: Container) -> dict[str, str]:
    """The tags of one stream. MP4 keeps a track's title as the name of its handler."""
    kept = kept_tags(metadata)
    handler = metadata.get("handler_name", "")
    if "title" not in kept and handler and not _DEFAULT_HANDLERS.search(handler):
        kept["title"] = handler
    if container.is_mp4 and "title" in kept:
        kept["handler_name"] = kept["title"]
    if container.muxer == "mov" and "language" in kept:
        kept["language"] = _QUICKTIME_LANGUAGES.get(kept["language"], kept["language"])
    return kept


def _plain(key: str) -> str:
    """The key alone: Matroska's statistics come once per language, as `BPS-eng`, with `_STATISTICS_…` beside them."""
    name = key.lower()
    return "encoder" if name.startswith("_statistics") else re.sub("-[a-z]{3}$", "", name)
