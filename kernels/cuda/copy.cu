// Samples moved without change: crop, pad, and flips of rows and columns.
//
//     out(x, y) = in(x - left, y - top) where that lies in the source, else `border`
//
// with the source mirrored first (FLIP_X, FLIP_Y). One thread moves COUNT neighbouring samples; those of interleaved
// planes, which no vector holds alone, it moves one by one, its neighbours in a row moving the neighbouring ones.
//
//     grid  ceil(width / (COUNT * block x)), ceil(height / block y), frames
#include "plane.cuh"

#ifndef FLIP_X
#define FLIP_X 0
#endif
#ifndef FLIP_Y
#define FLIP_Y 0
#endif
#ifndef COUNT
#define COUNT 8 // 4 to 16, so that COUNT samples take up 4 to 16 bytes
#endif

using In = Packed<SAMPLE_IN, COUNT, 1>;
using Out = Packed<SAMPLE_OUT, COUNT, 1>;

// source: source_width x source_height samples; target: width x height; pitches and frames in elements.
extern "C" __global__ void copy(const SAMPLE_IN *__restrict__ source, int source_pitch, long long source_frame,
                                SAMPLE_OUT *__restrict__ target, int target_pitch, long long target_frame, int width,
                                int height, int source_width, int source_height, int left, int top, int border) {
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    const int row = FLIP_Y ? source_height - 1 - (y - top) : y - top;
    const SAMPLE_IN *line = row_of(source + blockIdx.z * source_frame, source_pitch, row);
    SAMPLE_OUT *out = row_of(target + blockIdx.z * target_frame, target_pitch, y);
    if (STEP_IN == 2 || STEP_OUT == 2) {
        const bool is_there = row >= 0 && row < source_height;
#pragma unroll
        for (int n = 0; n < COUNT; n++) {
            const int x = (blockIdx.x * COUNT + n) * blockDim.x + threadIdx.x;
            const int column = FLIP_X ? source_width - 1 - (x - left) : x - left;
            if (x < width && y < height) {
                out[x * STEP_OUT] = is_there && column >= 0 && column < source_width ? line[column * STEP_IN] : border;
            }
        }
        return;
    }
    const int x = (blockIdx.x * blockDim.x + threadIdx.x) * COUNT;
    if (x >= width || y >= height) {
        return;
    }
    const int column = FLIP_X ? source_width - COUNT - (x - left) : x - left; // the first of COUNT, in memory
    unsigned samples[COUNT];
    if (row < 0 || row >= source_height) {
#pragma unroll
        for (int k = 0; k < COUNT; k++) {
            samples[k] = border;
        }
    } else if (column >= 0 && column + COUNT <= source_width && is_aligned<In>(line + column)) {
        const In packed = *(const In *)(line + column);
#pragma unroll
        for (int k = 0; k < COUNT; k++) {
            samples[k] = packed.get(FLIP_X ? COUNT - 1 - k : k);
        }
    } else {
#pragma unroll
        for (int k = 0; k < COUNT; k++) {
            const int at = FLIP_X ? column + COUNT - 1 - k : column + k;
            samples[k] = at >= 0 && at < source_width ? line[at] : border;
        }
    }
    out += x;
    if (x + COUNT <= width && is_aligned<Out>(out)) {
        Out packed = {};
#pragma unroll
        for (int k = 0; k < COUNT; k++) {
            packed.words[k / Out::per_word] |= samples[k] << k % Out::per_word * Out::bits;
        }
        *(Out *)out = packed;
        return;
    }
#pragma unroll
    for (int k = 0; k < COUNT; k++) {
        if (x + k < width) {
            out[k] = (SAMPLE_OUT)samples[k];
        }
    }
}
