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

constexpr int threads = TILE_W / 4 * TILE_H / ROWS; // of a block
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

// The extremes of each column of three rows.
struct Extremes {
    float low[6], high[6];

    __device__ __forceinline__ explicit Extremes(const Six &above, const Six &here, const Six &below) {
#pragma unroll
        for (int k = 0; k < 6; k++) {
            low[k] = fminf(fminf(above.v[k], below.v[k]), here.v[k]);
            high[k] = fmaxf(fmaxf(above.v[k], below.v[k]), here.v[k]);
        }
    }
};

// Sample `k` of a row sharpened; `columns` are the extremes of the three rows around it. With the names of
// kernels/ops/cas.py and t = q / high, the root of headroom / high,
//
//     (4e - around) * q / (s * high - 4q) = (e - around / 4) * t * u / ((s / 4 - 1) * u + high - headroom)
//
// where u = high * (1 + t). Nothing cancels on the right: a root and a division that are off by two units in the last
// place are enough even where s is near 4 and the picture is flat.
__device__ __forceinline__ float sharpen(const Six &above, const Six &here, const Six &below, const Extremes &columns,
                                         int k, float softness, float limit) {
    const float left = here.v[k - 1], centre = here.v[k], right = here.v[k + 1];
    const float around = above.v[k] + below.v[k] + left + right;
    const float low = fminf(columns.low[k], fminf(left, right)) +
                      fminf(columns.low[k], fminf(columns.low[k - 1], columns.low[k + 1]));
    const float high = fmaxf(columns.high[k], fmaxf(left, right)) +
                       fmaxf(columns.high[k], fmaxf(columns.high[k - 1], columns.high[k + 1]));
    const float headroom = fmaxf(fminf(low, limit - high), 0.0f);
    // Both are whole numbers, and headroom is 0 where high is: no division by 0.
    const float t = headroom * rsqrtf(fmaxf(headroom * high, 1.0f));
    const float u = fmaxf(high + high * t, 1.0f);
    return centre + __fdividef((centre - 0.25f * around) * t * u, softness * u + (high - headroom));
}

// source, target: planes of width x height samples, pitches and frames in elements.
// softness: s / 4 - 1, s = lerp(16, 4.01, strength), strength in 0..1.
// limit: (2 * code peak + 1) << shift of the source: how bright two samples together may become.
extern "C" __global__ void __launch_bounds__(threads)
    cas(const SAMPLE_IN *__restrict__ source, int source_pitch, long long source_frame, SAMPLE_OUT *__restrict__ target,
        int target_pitch, long long target_frame, int width, int height, float scale, int peak, float softness,
        float limit) {
    alignas(16) __shared__ float tile[TILE_H + 2][left_margin + TILE_W + 4];
    source += blockIdx.z * source_frame;
    target += blockIdx.z * target_frame;
    const int left = blockIdx.x * TILE_W;
    const int top = blockIdx.y * TILE_H;
    load_tile<REPEAT, threads>(tile, TILE_H + 2, source, source_pitch, left - left_margin, top - 1, width, height);
    __syncthreads();

    const int i = 4 * threadIdx.x;
    const int j = ROWS * threadIdx.y;
    Six above(tile[j], left_margin + i);
    Six here(tile[j + 1], left_margin + i);
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        const Six below(tile[j + r + 2], left_margin + i);
        if (top + j + r < height) {
            const Extremes columns(above, here, below);
            float value[4];
#pragma unroll
            for (int k = 0; k < 4; k++) {
                value[k] = sharpen(above, here, below, columns, k + 1, softness, limit);
            }
            store_four(row_of(target, target_pitch, top + j + r), left + i, width,
                       make_float4(value[0], value[1], value[2], value[3]), scale, peak);
        }
        above = here;
        here = below;
    }
}
