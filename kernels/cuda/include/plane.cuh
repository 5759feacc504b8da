// A plane as every plane kernel meets it, and the one place where a sample is rounded.
//
// A sample is stored as `code << shift` in 8 or 16 bits. Kernels load stored samples as float, compute in that
// unit, and store `value * scale`, rounded to nearest (ties up) and kept within 0..peak of the target. The
// scale, a power of two in limited range, takes the source's depth and shift to the target's: 1 when they are equal.
#pragma once

#ifndef SAMPLE_IN
#define SAMPLE_IN unsigned char // or unsigned short
#endif
#ifndef SAMPLE_OUT
#define SAMPLE_OUT unsigned char // or unsigned short
#endif
#ifndef STEP_IN
#define STEP_IN 1 // elements from one sample to the next: 2 in the interleaved chroma of NV12 and P010
#endif
#ifndef STEP_OUT
#define STEP_OUT 1
#endif

// Index `i` held within 0..count-1: the edge sample repeats.
__device__ __forceinline__ int clamp_index(int i, int count) {
    return min(max(i, 0), count - 1);
}

// Index `i` mirrored at the edges, the edge sample itself repeating (2 1 0 | 0 1 2). Right for any `i`.
__device__ __forceinline__ int mirror_index(int i, int count) {
    const int period = 2 * count;
    int wrapped = i % period;
    wrapped += wrapped < 0 ? period : 0;
    return wrapped < count ? wrapped : period - 1 - wrapped;
}

// Stored sample (x, y) as float. `pitch` is the distance between rows in elements. Row offsets are 64-bit:
// 32768 rows of 65536 elements do not fit in 32.
__device__ __forceinline__ float load_sample(const SAMPLE_IN *plane, int pitch, int x, int y) {
    return (float)plane[(long long)y * pitch + x * STEP_IN];
}

// Write `value * scale` to (x, y): the only rounding of a kernel. `peak` is the largest stored sample.
__device__ __forceinline__ void store_sample(SAMPLE_OUT *plane, int pitch, int x, int y, float value, float scale,
                                             int peak) {
    const float bounded = fminf(fmaxf(value * scale + 0.5f, 0.0f), (float)peak);
    plane[(long long)y * pitch + x * STEP_OUT] = (SAMPLE_OUT)bounded;
}
