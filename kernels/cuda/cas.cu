// Contrast adaptive sharpening of one plane. AMD FidelityFX CAS, "better diagonals" form, with the strength scale
// of FFmpeg's filter of that name. One thread computes TILE_H / BLOCK_H samples of a TILE_W x TILE_H tile.
//
//     grid  ceil(width / TILE_W), ceil(height / TILE_H)
//     block TILE_W, BLOCK_H
#include "plane.cuh"

#ifndef TILE_W
#define TILE_W 32
#endif
#ifndef TILE_H
#define TILE_H 32
#endif
#ifndef BLOCK_H
#define BLOCK_H 8
#endif

// source, target: planes of width x height samples, pitches in elements.
// inverse_strength: -1 / lerp(16, 4.01, strength), strength in 0..1.
// ceiling: (2 * code peak + 1) << shift of the source: how bright two samples together may become.
extern "C" __global__ void __launch_bounds__(TILE_W *BLOCK_H)
    cas(const SAMPLE_IN *__restrict__ source, int source_pitch, SAMPLE_OUT *__restrict__ target, int target_pitch,
        int width, int height, float scale, int peak, float inverse_strength, float ceiling) {
    __shared__ float tile[TILE_H + 2][TILE_W + 2];
    const int left = blockIdx.x * TILE_W - 1;
    const int top = blockIdx.y * TILE_H - 1;
    for (int j = threadIdx.y; j < TILE_H + 2; j += BLOCK_H) {
        for (int i = threadIdx.x; i < TILE_W + 2; i += TILE_W) {
            const int x = clamp_index(left + i, width);
            const int y = clamp_index(top + j, height);
            tile[j][i] = load_sample(source, source_pitch, x, y);
        }
    }
    __syncthreads();

    const int x = left + 1 + threadIdx.x;
    if (x >= width) {
        return;
    }
    const int i = threadIdx.x + 1;
    for (int j = threadIdx.y + 1; j <= TILE_H; j += BLOCK_H) {
        const int y = top + j;
        if (y >= height) {
            return;
        }
        const float b = tile[j - 1][i], d = tile[j][i - 1], e = tile[j][i], f = tile[j][i + 1], h = tile[j + 1][i];
        const float cross_low = fminf(fminf(fminf(d, e), fminf(f, b)), h);
        const float cross_high = fmaxf(fmaxf(fmaxf(d, e), fmaxf(f, b)), h);
        const float corner_low =
            fminf(fminf(tile[j - 1][i - 1], tile[j - 1][i + 1]), fminf(tile[j + 1][i - 1], tile[j + 1][i + 1]));
        const float corner_high =
            fmaxf(fmaxf(tile[j - 1][i - 1], tile[j - 1][i + 1]), fmaxf(tile[j + 1][i - 1], tile[j + 1][i + 1]));
        const float low = cross_low + fminf(cross_low, corner_low);
        const float high = cross_high + fmaxf(cross_high, corner_high);
        // All nine samples black: nothing to sharpen, and no room to divide.
        const float room = high > 0.0f ? fminf(low, ceiling - high) / high : 0.0f;
        const float weight = sqrtf(fminf(fmaxf(room, 0.0f), 1.0f)) * inverse_strength;
        const float value = ((b + d + f + h) * weight + e) / (1.0f + 4.0f * weight);
        store_sample(target, target_pitch, x, y, value, scale, peak);
    }
}
