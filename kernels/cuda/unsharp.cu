// Unsharp mask of one plane, as FFmpeg's filter of that name defines it:
//
//     out = in + amount * (in - blurred)
//
// with a separable binomial blur of 2 * RADIUS_X + 1 by 2 * RADIUS_Y + 1 samples, edges repeated. A tile with its
// halo is read once into shared memory, blurred along rows there, and along columns in registers. A thread works on
// 4 samples of a row at a time.
//
//     grid  ceil(width / TILE_W), ceil(height / TILE_H), frames
//     block TILE_W / 4, TILE_H / ROWS
#include "plane.cuh"

#ifndef RADIUS_X
#define RADIUS_X 2
#endif
#ifndef RADIUS_Y
#define RADIUS_Y 2
#endif
#ifndef TILE_W
#define TILE_W 64
#endif
#ifndef TILE_H
#define TILE_H 32
#endif
#ifndef ROWS
#define ROWS 2
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

constexpr int threads = TILE_W / 4 * TILE_H / ROWS; // of a block
constexpr int left_margin = (RADIUS_X + 3) / 4 * 4; // a multiple of 4: fours of tile and target are aligned alike
constexpr int halo_w = TILE_W + 2 * left_margin;
constexpr int halo_h = TILE_H + 2 * RADIUS_Y;

// source, target: planes of width x height samples, pitches and frames in elements. amount: -2..5, below 0 blurs.
extern "C" __global__ void __launch_bounds__(threads)
    unsharp(const SAMPLE_IN *__restrict__ source, int source_pitch, long long source_frame,
            SAMPLE_OUT *__restrict__ target, int target_pitch, long long target_frame, int width, int height,
            float scale, int peak, float amount) {
    alignas(16) __shared__ float tile[halo_h][halo_w];
    alignas(16) __shared__ float across[halo_h][TILE_W];
    source += blockIdx.z * source_frame;
    target += blockIdx.z * target_frame;
    const int left = blockIdx.x * TILE_W;
    const int top = blockIdx.y * TILE_H;
    load_tile<REPEAT, threads>(tile, halo_h, source, source_pitch, left - left_margin, top - RADIUS_Y, width, height);
    __syncthreads();

    const int i = 4 * threadIdx.x;
    constexpr Binomial<RADIUS_X> along_x;
    for (int j = threadIdx.y; j < halo_h; j += TILE_H / ROWS) {
        float near[4 + 2 * left_margin];
#pragma unroll
        for (int k = 0; k < 4 + 2 * left_margin; k += 4) {
            const float4 four = *(const float4 *)&tile[j][i + k];
            near[k] = four.x, near[k + 1] = four.y, near[k + 2] = four.z, near[k + 3] = four.w;
        }
        float sum[4] = {};
#pragma unroll
        for (int k = 0; k <= 2 * RADIUS_X; k++) {
#pragma unroll
            for (int n = 0; n < 4; n++) {
                sum[n] += along_x.weight[k] * near[left_margin - RADIUS_X + n + k];
            }
        }
        *(float4 *)&across[j][i] = make_float4(sum[0], sum[1], sum[2], sum[3]);
    }
    __syncthreads();

    const int j = ROWS * threadIdx.y;
    constexpr Binomial<RADIUS_Y> along_y;
    float4 blurred[ROWS] = {};
#pragma unroll
    for (int k = 0; k < ROWS + 2 * RADIUS_Y; k++) {
        const float4 four = *(const float4 *)&across[j + k][i];
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            if (k >= r && k <= r + 2 * RADIUS_Y) {
                const float weight = along_y.weight[k - r];
                blurred[r].x += weight * four.x;
                blurred[r].y += weight * four.y;
                blurred[r].z += weight * four.z;
                blurred[r].w += weight * four.w;
            }
        }
    }
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        if (top + j + r < height) {
            float4 value = *(const float4 *)&tile[j + r + RADIUS_Y][i + left_margin];
            value.x += amount * (value.x - blurred[r].x);
            value.y += amount * (value.y - blurred[r].y);
            value.z += amount * (value.z - blurred[r].z);
            value.w += amount * (value.w - blurred[r].w);
            store_four(row_of(target, target_pitch, top + j + r), left + i, width, value, scale, peak);
        }
    }
}
