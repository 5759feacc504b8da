"""Restore video with fused kernels: frames in, better frames out."""

from kernels import compile_cache

compile_cache.prepare()
