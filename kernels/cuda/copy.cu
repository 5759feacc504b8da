// Samples moved without change: crop, pad, and flips of rows and columns.
//
//     out(x, y) = in(x - left, y - top) where that lies in the source, else `border`
//
// with the source mirrored first (FLIP_X, FLIP_Y). One thread moves COUNT neighbouring samples.
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

using In = Packed<SAMPLE_IN, COUNT, STEP_IN>;
using Out = Packed<SAMPLE_OUT, COUNT, 1>;

// source: source_width x source_height samples; target: width x height; pitches and frames in elements.
extern "C" __global__ void copy(const SAMPLE_IN *__restrict__ source, int source_pitch, long long source_frame,
                                SAMPLE_OUT *__restrict__ target, int target_pitch, long long target_frame, int width,
                                int height, int source_width, int source_height, int left, int top, int border) {
    const int x = (blockIdx.x * blockDim.x + threadIdx.x) * COUNT;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) {
        return;
    }
    const int row = FLIP_Y ? source_height - 1 - (y - top) : y - top;
    const int column = FLIP_X ? source_width - COUNT - (x - left) : x - left; // the first of COUNT, in memory
    const SAMPLE_IN *line = row_of(source + blockIdx.z * source_frame, source_pitch, row);
    unsigned samples[COUNT];
    if (row < 0 || row >= source_height) {
#pragma unroll
        for (int k = 0; k < COUNT; k++) {
            samples[k] = border;
        }
    } else if (sizeof(In) <= 16 && column >= 0 && column + COUNT <= source_width &&
               is_aligned<In>(line + column * STEP_IN)) {
        const In packed = *(const In *)(line + column * STEP_IN);
#pragma unroll
        for (int k = 0; k < COUNT; k++) {
            samples[k] = packed.get(FLIP_X ? COUNT - 1 - k : k);
        }
    } else {
#pragma unroll
        for (int k = 0; k < COUNT; k++) {
            const int at = FLIP_X ? column + COUNT - 1 - k : column + k;
            samples[k] = at >= 0 && at < source_width ? line[at * STEP_IN] : border;
        }
    }
    SAMPLE_OUT *out = row_of(target + blockIdx.z * target_frame, target_pitch, y) + x * STEP_OUT;
    if (STEP_OUT == 1 && x + COUNT <= width && is_aligned<Out>(out)) {
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
            out[k * STEP_OUT] = (SAMPLE_OUT)samples[k];
        }
    }
}
