// Contrast adaptive sharpening of one plane. AMD FidelityFX CAS, "better diagonals" form, with the strength scale
// of FFmpeg's filter of that name. One thread computes ROWS rows of 4 samples of a TILE_W x TILE_H tile.
//
//     grid  ceil(width / TILE_W), ceil(height / TILE_H), frames
//     block TILE_W / 4, TILE_H / ROWS
#include "plane.cuh"

#ifndef TILE_W
#define TILE_W 64
#endif
#ifndef TILE_H
#define TILE_H 32
#endif
#ifndef ROWS
#define ROWS 2
#endif

// `tile` begins 4 columns left of the target's tile: so that fours of both are aligned alike.
constexpr int left_margin = 4;

// Samples i - 1..i + 4 of a row of the tile.
struct Six {
    float v[6];

    __device__ __forceinline__ explicit Six(const float *row, int i) {
        const float4 middle = *(const float4 *)(row + i);
        v[0] = row[i - 1], v[1] = middle.x, v[2] = middle.y, v[3] = middle.z, v[4] = middle.w, v[5] = row[i + 4];
    }
};

// The middle sample of three rows of three, the first of which begin at v[k]. The names are those of the paper:
//     a b c
//     d e f
//     g h i
__device__ __forceinline__ float sharpen(const Six &above, const Six &here, const Six &below, int k,
                                         float inverse_strength, float ceiling) {
    const float a = above.v[k], b = above.v[k + 1], c = above.v[k + 2];
    const float d = here.v[k], e = here.v[k + 1], f = here.v[k + 2];
    const float g = below.v[k], h = below.v[k + 1], i = below.v[k + 2];
    const float cross_low = fminf(fminf(fminf(d, e), fminf(f, b)), h);
    const float cross_high = fmaxf(fmaxf(fmaxf(d, e), fmaxf(f, b)), h);
    const float low = cross_low + fminf(cross_low, fminf(fminf(a, c), fminf(g, i)));
    const float high = cross_high + fmaxf(cross_high, fmaxf(fmaxf(a, c), fmaxf(g, i)));
    // All nine samples black: nothing to sharpen, and no room to divide.
    const float room = high > 0.0f ? fminf(low, ceiling - high) / high : 0.0f;
    const float weight = sqrtf(fminf(fmaxf(room, 0.0f), 1.0f)) * inverse_strength;
    return ((b + d + f + h) * weight + e) / (1.0f + 4.0f * weight);
}

// source, target: planes of width x height samples, pitches and frames in elements.
// inverse_strength: -1 / lerp(16, 4.01, strength), strength in 0..1.
// ceiling: (2 * code peak + 1) << shift of the source: how bright two samples together may become.
extern "C" __global__ void __launch_bounds__(TILE_W / 4 * TILE_H / ROWS)
    cas(const SAMPLE_IN *__restrict__ source, int source_pitch, long long source_frame, SAMPLE_OUT *__restrict__ target,
        int target_pitch, long long target_frame, int width, int height, float scale, int peak, float inverse_strength,
        float ceiling) {
    alignas(16) __shared__ float tile[TILE_H + 2][left_margin + TILE_W + 4];
    source += blockIdx.z * source_frame;
    target += blockIdx.z * target_frame;
    const int left = blockIdx.x * TILE_W;
    const int top = blockIdx.y * TILE_H;
    load_tile<REPEAT>(tile, TILE_H + 2, source, source_pitch, left - left_margin, top - 1, width, height);
    __syncthreads();

    const int i = 4 * threadIdx.x;
    const int j = ROWS * threadIdx.y;
    Six above(tile[j], left_margin + i);
    Six here(tile[j + 1], left_margin + i);
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        const Six below(tile[j + r + 2], left_margin + i);
        if (top + j + r < height) {
            float value[4];
#pragma unroll
            for (int k = 0; k < 4; k++) {
                value[k] = sharpen(above, here, below, k, inverse_strength, ceiling);
            }
            store_four(row_of(target, target_pitch, top + j + r), left + i, width,
                       make_float4(value[0], value[1], value[2], value[3]), scale, peak);
        }
        above = here;
        here = below;
    }
}
