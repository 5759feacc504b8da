"""Colour conversion as arithmetic: what turns the codes of one format into those of another.

Values travel in two domains. *Codes* are `code / (2**depth - 1)`, what a component operation sees. *Triplets* are
Y in 0..1 with Cb, Cr in -0.5..0.5, or G, B, R in 0..1: what a colour operation sees. Everything linear is an
`Affine`; neighbouring ones fold into one, so a change of matrix, range and depth costs a single 3x3 product.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from kernels.color import LUMA_WEIGHTS, Matrix, Primaries, Range
from kernels.errors import FormatError
from kernels.pixel_format import Family
from kernels.transfer import to_gamma, to_linear

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from kernels.color import Color
    from kernels.frame import VideoFormat
    from kernels.transfer import Curve

# CIE 1931 (x, y) of red, green, blue and white: H.273 table 2.
_D65: Final = (0.3127, 0.3290)
_C: Final = (0.310, 0.316)
_XY: Final[dict[Primaries, tuple[tuple[float, float], ...]]] = {
    Primaries.BT709: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), _D65),
    Primaries.BT470M: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), _C),
    Primaries.BT470BG: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), _D65),
    Primaries.SMPTE170M: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    Primaries.SMPTE240M: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    Primaries.FILM: ((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), _C),
    Primaries.BT2020: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),
    Primaries.SMPTE431: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),
    Primaries.SMPTE432: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65),
    Primaries.EBU3213: ((0.630, 0.340), (0.295, 0.605), (0.155, 0.077), _D65),
}
# Bradford cone responses (Lam 1985), used when the white points differ.
_BRADFORD: Final = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]], dtype=np.float64
)


@dataclass(frozen=True, slots=True, eq=False)
class Affine:
    """`out = matrix @ in + offset` on one triplet, in float64."""

    matrix: NDArray[np.float64]
    """3x3."""
    offset: NDArray[np.float64]
    """3."""

    def after(self, first: Affine) -> Affine:
        """The map that applies `first` and then this one."""
        return Affine(self.matrix @ first.matrix, self.matrix @ first.offset + self.offset)

    def inverse(self) -> Affine:
        inverse: NDArray[np.float64] = np.linalg.inv(self.matrix).astype(np.float64)
        return Affine(inverse, -inverse @ self.offset)

    @property
    def is_identity(self) -> bool:
        return bool(np.allclose(self.matrix, np.eye(3), atol=1e-9) and np.allclose(self.offset, 0, atol=1e-9))


def fold(parts: Sequence[Any]) -> list[Any]:
    """`parts` (affine maps, curves, tiles) with neighbouring affine maps multiplied and identities left out."""
    folded: list[Any] = []
    for part in parts:
        if isinstance(part, Affine) and folded and isinstance(folded[-1], Affine):
            folded[-1] = part.after(folded[-1])
        else:
            folded.append(part)
    return [part for part in folded if not (isinstance(part, Affine) and part.is_identity)]


def codes_to_triplet(format_: VideoFormat) -> Affine:
    """From codes to triplets (H.273 equations 20 to 37, inverted); a gray picture has neutral chroma."""
    affine = triplet_to_codes(format_).inverse()
    if format_.pixel_format.family is Family.GRAY:
        affine.matrix[1:] = 0
        affine.offset[1:] = 0
    return affine


def triplet_to_codes(format_: VideoFormat) -> Affine:
    """From triplets to codes: H.273 equations 20 to 37, over 2**depth - 1.

    YUV planes that are tagged with the GBR matrix hold G, B and R, and are coded as those are.
    """
    depth = format_.pixel_format.depth
    peak = (1 << depth) - 1
    step = 1 << (depth - 8)
    full = format_.resolved_color.range is Range.FULL
    luma, luma_zero = (peak, 0) if full else (219 * step, 16 * step)
    if format_.pixel_format.family is Family.GBR or format_.resolved_color.matrix is Matrix.GBR:
        return Affine(np.eye(3) * luma / peak, np.full(3, luma_zero / peak))
    chroma, chroma_zero = (peak, 1 << (depth - 1)) if full else (224 * step, 128 * step)
    return Affine(np.diag([luma, chroma, chroma]) / peak, np.array([luma_zero, chroma_zero, chroma_zero]) / peak)


def is_componentwise(source: VideoFormat, target: VideoFormat, *, keep_light: bool = False) -> bool:
    """Whether each component of `target` depends on the same component of `source` alone."""
    families = {source.pixel_format.family, target.pixel_format.family}
    if Family.GBR in families and len(families) > 1:
        return False
    a, b = source.resolved_color, target.resolved_color
    same_light = keep_light or (a.transfer, a.primaries) == (b.transfer, b.primaries)
    return same_light and (Family.GRAY in families or _same_matrix(a, b))


def conversion(source: VideoFormat, target: VideoFormat, *, keep_light: bool = False) -> list[Affine | Curve]:
    """What takes triplets of `source` to triplets of `target` (both resolved, co-sited).

    `keep_light` converts the matrix alone and reinterprets transfer and primaries, FFmpeg's `fast`.
    Raises `FormatError` for tags whose equations are not linear in R'G'B' or not known here.
    """
    a, b = source.resolved_color, target.resolved_color
    if is_componentwise(source, target, keep_light=keep_light):
        return []
    rgb_in, rgb_out = _triplet_to_gbr(source), _triplet_to_gbr(target).inverse()
    if keep_light or (a.transfer, a.primaries) == (b.transfer, b.primaries):
        return fold([rgb_in, rgb_out])
    light = Affine(_gbr_primaries(a.primaries, b.primaries), np.zeros(3))
    return fold([rgb_in, to_linear(a.transfer), light, to_gamma(b.transfer), rgb_out])


def _same_matrix(a: Color, b: Color) -> bool:
    weights = LUMA_WEIGHTS.get(a.matrix)
    return a.matrix is b.matrix or (weights is not None and weights == LUMA_WEIGHTS.get(b.matrix))


def _triplet_to_gbr(format_: VideoFormat) -> Affine:
    """Y, Cb, Cr (or G, B, R) to G, B, R: H.273 equations 38 to 52."""
    matrix = format_.resolved_color.matrix
    if format_.pixel_format.family is Family.GBR or matrix is Matrix.GBR:
        return Affine(np.eye(3), np.zeros(3))
    if matrix is Matrix.YCGCO:
        return Affine(np.array([[1.0, 1.0, 0.0], [1.0, -1.0, -1.0], [1.0, -1.0, 1.0]]), np.zeros(3))
    if matrix not in LUMA_WEIGHTS:
        known = ", ".join(m.name.lower() for m in LUMA_WEIGHTS)
        raise FormatError(f"colour matrix {matrix.name.lower()} cannot be converted; possible: {known}")
    kr, kb = map(float, LUMA_WEIGHTS[matrix])
    kg = 1 - kr - kb
    return Affine(
        np.array(
            [
                [1.0, -2 * (1 - kb) * kb / kg, -2 * (1 - kr) * kr / kg],
                [1.0, 2 * (1 - kb), 0.0],
                [1.0, 0.0, 2 * (1 - kr)],
            ]
        ),
        np.zeros(3),
    )


def _gbr_primaries(source: Primaries, target: Primaries) -> NDArray[np.float64]:
    """Linear G, B, R of `source` primaries to those of `target`, white adapted by Bradford."""
    order = [1, 2, 0]  # rows and columns R, G, B to G, B, R
    rgb = np.linalg.inv(_rgb_to_xyz(target)) @ _adaptation(source, target) @ _rgb_to_xyz(source)
    return np.asarray(rgb[np.ix_(order, order)])


def _rgb_to_xyz(primaries: Primaries) -> NDArray[np.float64]:
    """Linear R, G, B to CIE XYZ with Y = 1 for white (SMPTE RP 177)."""
    if primaries not in _XY:
        known = ", ".join(p.name.lower() for p in _XY)
        raise FormatError(f"primaries {primaries.name.lower()} cannot be converted; possible: {known}")
    *corners, white = _XY[primaries]
    columns = np.array([[x / y, 1.0, (1 - x - y) / y] for x, y in corners]).T
    return columns * np.linalg.solve(columns, _white_xyz(white))


def _white_xyz(white: tuple[float, float]) -> NDArray[np.float64]:
    x, y = white
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _adaptation(source: Primaries, target: Primaries) -> NDArray[np.float64]:
    """Bradford adaptation from the white of `source` to that of `target`, in XYZ."""
    white_in, white_out = _XY[source][3], _XY[target][3]
    if white_in == white_out:
        return np.eye(3)
    gains = (_BRADFORD @ _white_xyz(white_out)) / (_BRADFORD @ _white_xyz(white_in))
    return np.asarray(np.linalg.inv(_BRADFORD) @ np.diag(gains) @ _BRADFORD)
