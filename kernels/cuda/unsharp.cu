// Unsharp mask of one plane, as FFmpeg's filter of that name defines it:
//
//     out = in + amount * (in - blurred)
//
// with a separable binomial blur of 2 * RADIUS_X + 1 by 2 * RADIUS_Y + 1 samples, edges repeated. A tile with its
// halo is read once into shared memory, blurred along rows there, and along columns in registers.
//
//     grid  ceil(width / TILE_W), ceil(height / TILE_H)
//     block TILE_W, BLOCK_H
#include "plane.cuh"

#ifndef RADIUS_X
#define RADIUS_X 2
#endif
#ifndef RADIUS_Y
#define RADIUS_Y 2
#endif
#ifndef TILE_W
#define TILE_W 32
#endif
#ifndef TILE_H
#define TILE_H 32
#endif
#ifndef BLOCK_H
#define BLOCK_H 8
#endif

// Row 2 * RADIUS of Pascal's triangle over its sum: what 2 * RADIUS box blurs of two samples amount to.
template <int RADIUS> struct Binomial {
    float weight[2 * RADIUS + 1];

    __device__ constexpr Binomial() : weight() {
        double value = 1.0;
        for (int i = 0; i < 2 * RADIUS; i++) {
            value *= 0.5;
        }
        for (int k = 0; k <= 2 * RADIUS; k++) {
            weight[k] = (float)value;
            value = value * (2 * RADIUS - k) / (k + 1);
        }
    }
};

// source, target: planes of width x height samples, pitches in elements. amount: -2..5, below 0 blurs.
extern "C" __global__ void __launch_bounds__(TILE_W *BLOCK_H)
    unsharp(const SAMPLE_IN *__restrict__ source, int source_pitch, SAMPLE_OUT *__restrict__ target, int target_pitch,
            int width, int height, float scale, int peak, float amount) {
    constexpr int halo_w = TILE_W + 2 * RADIUS_X;
    constexpr int halo_h = TILE_H + 2 * RADIUS_Y;
    __shared__ float tile[halo_h][halo_w];
    __shared__ float rows[halo_h][TILE_W];
    const int left = blockIdx.x * TILE_W - RADIUS_X;
    const int top = blockIdx.y * TILE_H - RADIUS_Y;
    for (int j = threadIdx.y; j < halo_h; j += BLOCK_H) {
        for (int i = threadIdx.x; i < halo_w; i += TILE_W) {
            const int x = clamp_index(left + i, width);
            const int y = clamp_index(top + j, height);
            tile[j][i] = load_sample(source, source_pitch, x, y);
        }
    }
    __syncthreads();

    constexpr Binomial<RADIUS_X> across;
    for (int j = threadIdx.y; j < halo_h; j += BLOCK_H) {
        float sum = 0.0f;
#pragma unroll
        for (int k = 0; k <= 2 * RADIUS_X; k++) {
            sum += across.weight[k] * tile[j][threadIdx.x + k];
        }
        rows[j][threadIdx.x] = sum;
    }
    __syncthreads();

    const int x = left + RADIUS_X + threadIdx.x;
    if (x >= width) {
        return;
    }
    constexpr Binomial<RADIUS_Y> down;
    for (int j = threadIdx.y; j < TILE_H; j += BLOCK_H) {
        const int y = top + RADIUS_Y + j;
        if (y >= height) {
            return;
        }
        float blurred = 0.0f;
#pragma unroll
        for (int k = 0; k <= 2 * RADIUS_Y; k++) {
            blurred += down.weight[k] * rows[j + k][threadIdx.x];
        }
        const float value = tile[j + RADIUS_Y][threadIdx.x + RADIUS_X];
        store_sample(target, target_pitch, x, y, value + amount * (value - blurred), scale, peak);
    }
}
