// Both axes of a resampling in one pass, by tables of weights:
//
//     out(x, y) = sum over j, k of weights_y(y, j) * weights_x(x, k) * in(starts_x(x) + k, starts_y(y) + j)
//
// with the source mirrored about its outer edges. A tile's source rows come through shared memory CHUNK at a time; each
// is resampled along x there, and added, with its weight, to the sums along y that the threads hold in registers.
//
//     grid  ceil(width / TILE_W), ceil(height / TILE_H), frames
//     block TILE_W / 4, TILE_H / ROWS
#include "plane.cuh"

#ifndef TAPS_X
#define TAPS_X 6
#endif
#ifndef TAPS_Y
#define TAPS_Y 6
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
#ifndef SPAN
#define SPAN 48 // source columns of a tile, a multiple of 4, at most; 0 if too many for shared memory
#endif
#ifndef CHUNK
#define CHUNK 24 // source rows at a time
#endif
#ifndef WHOLE
#define WHOLE 1 // whether CHUNK rows are all of any tile's
#endif

constexpr int threads = TILE_W / 4 * TILE_H / ROWS; // of a block
constexpr int most_held_weights = 16;               // of a column, in registers

// Weights of one target column: in registers where they are few.
struct Column {
    const float *weights;
    float held[TAPS_X <= most_held_weights ? TAPS_X : 1];

    __device__ __forceinline__ explicit Column(const float *table) : weights(table) {
        if (TAPS_X <= most_held_weights) {
#pragma unroll
            for (int k = 0; k < TAPS_X; k++) {
                held[k] = table[k];
            }
        }
    }

    // The weighted sum of samples `sample(0)`..`sample(TAPS_X - 1)`.
    template <typename Sample> __device__ __forceinline__ float sum(Sample sample) const {
        float total = 0.0f;
        if (TAPS_X <= most_held_weights) {
#pragma unroll
            for (int k = 0; k < TAPS_X; k++) {
                total += held[TAPS_X <= most_held_weights ? k : 0] * sample(k);
            }
        } else {
#pragma unroll 4
            for (int k = 0; k < TAPS_X; k++) {
                total += weights[k] * sample(k);
            }
        }
        return total;
    }
};

// sum + weight * four
__device__ __forceinline__ float4 added(float4 sum, float weight, const float *four) {
    const float4 value = *(const float4 *)four;
    return make_float4(sum.x + weight * value.x, sum.y + weight * value.y, sum.z + weight * value.z,
                       sum.w + weight * value.w);
}

// source: source_width x source_height samples, target: width x height, pitches and frames in elements.
// starts_*: the first source column (row) of every target column (row), before mirroring; weights_*: (period_*, TAPS_*)
// of target column (row) i in row i % period_*.
extern "C" __global__ void __launch_bounds__(threads, 4)
    resample(const SAMPLE_IN *__restrict__ source, int source_pitch, long long source_frame,
             SAMPLE_OUT *__restrict__ target, int target_pitch, long long target_frame, int width, int height,
             int source_width, int source_height, float scale, int peak, const int *__restrict__ starts_x,
             const float *__restrict__ weights_x, int period_x, const int *__restrict__ starts_y,
             const float *__restrict__ weights_y, int period_y) {
#if SPAN
    alignas(16) __shared__ float staged[CHUNK][SPAN];
#endif
    alignas(16) __shared__ float across[CHUNK][TILE_W];
    source += blockIdx.z * source_frame;
    target += blockIdx.z * target_frame;
    const int left = blockIdx.x * TILE_W;
    const int top = blockIdx.y * TILE_H;
    const int thread = threadIdx.y * (TILE_W / 4) + threadIdx.x;

    // Along x a thread has one column; those past the picture's edge do the last one's work again.
    const int i = thread % TILE_W;
    const int x = min(left + i, width - 1);
    const int start_x = starts_x[x];
    const Column column(weights_x + x % period_x * TAPS_X);
#if SPAN
    const int first_column = starts_x[left] & ~3; // down to a multiple of 4, below zero too
#endif
    const int first_row = starts_y[top];
    const int end_row = starts_y[min(top + TILE_H, height) - 1] + TAPS_Y;

    float4 sum[ROWS] = {};
    for (int chunk = first_row; chunk < end_row; chunk += CHUNK) {
        const int rows = min(CHUNK, end_row - chunk);
#if SPAN
        load_tile<MIRROR, threads>(staged, rows, source, source_pitch, first_column, chunk, source_width,
                                   source_height);
        __syncthreads();
#endif
        for (int j = thread / TILE_W; j < rows; j += TILE_H / ROWS / 4) {
#if SPAN
            const float *row = staged[j];
            across[j][i] = column.sum([&](int k) { return row[start_x - first_column + k]; });
#else
            const SAMPLE_IN *row = row_of(source, source_pitch, inside<MIRROR>(chunk + j, source_height));
            across[j][i] =
                column.sum([&](int k) { return (float)row[inside<MIRROR>(start_x + k, source_width) * STEP_IN]; });
#endif
        }
        __syncthreads();

#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            const int y = min(top + ROWS * (int)threadIdx.y + r, height - 1);
            const float *weights = weights_y + y % period_y * TAPS_Y;
            const int skipped = starts_y[y] - chunk;
#if WHOLE
#pragma unroll(TAPS_Y <= 16 ? TAPS_Y : 4)
            for (int k = 0; k < TAPS_Y; k++) {
                sum[r] = added(sum[r], weights[k], &across[skipped + k][4 * threadIdx.x]);
            }
#else
#pragma unroll 1
            for (int k = max(0, -skipped); k < min(TAPS_Y, rows - skipped); k++) {
                sum[r] = added(sum[r], weights[k], &across[skipped + k][4 * threadIdx.x]);
            }
#endif
        }
#if !SPAN
        __syncthreads(); // `across` is written again
#endif
    }
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        const int y = top + ROWS * threadIdx.y + r;
        if (y < height) {
            store_four(row_of(target, target_pitch, y), left + 4 * threadIdx.x, width, sum[r], scale, peak);
        }
    }
}
