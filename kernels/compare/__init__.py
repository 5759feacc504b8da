"""How far two videos lie apart: PSNR and SSIM per plane and frame, as FFmpeg's filters define them."""

from kernels.compare.compare import compare, compare_frames, score_pair
from kernels.compare.result import Comparison, FrameScore

__all__ = ["Comparison", "FrameScore", "compare", "compare_frames", "score_pair"]
