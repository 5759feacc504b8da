"""Separable resampling: filter weights and the kernels that apply them."""
