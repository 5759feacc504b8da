// Non-local means of one plane, as nlmeans.cu has it, for patches too wide for its registers: slower, since the
// column sums of squared differences go through shared memory, and samples come from the caches.
//
//     grid  ceil(width / TILE), ceil(height / TILE), frames
//     block TILE / 4, TILE
#include "plane.cuh"

#ifndef TILE
#define TILE 32
#endif
#ifndef MOST_PATCH
#define MOST_PATCH 49 // largest radius of a patch
#endif
#ifndef DOWN_SHIFT
#define DOWN_SHIFT 0 // distances are taken on samples shifted down so far that their sums fit 32 bits
#endif

constexpr int parts = 2; // of a column, each summed by a thread of its own
constexpr int part_rows = TILE / parts;

struct Picture {
    const SAMPLE_IN *plane;
    int pitch, width, height;

    __device__ __forceinline__ int at(int x, int y) const {
        return row_of(plane, pitch, clamp_index(y, height))[clamp_index(x, width) * STEP_IN];
    }
    __device__ __forceinline__ int square(int x, int y, int dx, int dy) const {
        const int difference = (at(x, y) >> DOWN_SHIFT) - (at(x + dx, y + dy) >> DOWN_SHIFT);
        return difference * difference;
    }
};

// source, target: planes of width x height samples, pitches and frames in elements. patch, window: radii.
// falloff: of the weight's binary logarithm, per unit of distance; limit: the largest distance that has a weight.
extern "C" __global__ void __launch_bounds__(TILE / 4 * TILE, 3)
    nlmeans_wide(const SAMPLE_IN *__restrict__ source, int source_pitch, long long source_frame,
                 SAMPLE_OUT *__restrict__ target, int target_pitch, long long target_frame, int width, int height,
                 float scale, int peak, float falloff, int limit, int patch, int window) {
    __shared__ int sums[TILE][TILE + 2 * MOST_PATCH];
    const Picture picture = {source + blockIdx.z * source_frame, source_pitch, width, height};
    const int left = blockIdx.x * TILE;
    const int top = blockIdx.y * TILE;
    const int thread = threadIdx.y * (TILE / 4) + threadIdx.x;
    const int columns = TILE + 2 * patch;
    const int x = left + 4 * threadIdx.x;
    const int y = top + threadIdx.y;
    float weighted[4], weights[4];
#pragma unroll
    for (int k = 0; k < 4; k++) {
        weighted[k] = (float)picture.at(x + k, y);
        weights[k] = 1.0f;
    }

    for (int offset = 0; offset < (2 * window + 1) * (2 * window + 1); offset++) {
        const int dx = offset % (2 * window + 1) - window;
        const int dy = offset / (2 * window + 1) - window;
        if (dx == 0 && dy == 0) {
            continue;
        }
        for (int i = thread; i < parts * columns; i += TILE / 4 * TILE) {
            const int column = i % columns;
            const int begin = i / columns * part_rows;
            const int px = left + column - patch;
            int sum = 0;
            for (int r = -patch; r < patch; r++) {
                sum += picture.square(px, top + begin + r, dx, dy);
            }
            for (int r = begin; r < begin + part_rows; r++) {
                sum += picture.square(px, top + r + patch, dx, dy);
                sums[r][column] = sum;
                sum -= picture.square(px, top + r - patch, dx, dy);
            }
        }
        __syncthreads();

        if (y + dy >= 0 && y + dy < height) {
            const int *row = &sums[threadIdx.y][4 * threadIdx.x];
            int distance = 0;
            for (int k = 0; k < 2 * patch; k++) {
                distance += row[k];
            }
#pragma unroll
            for (int k = 0; k < 4; k++) {
                distance += row[k + 2 * patch];
                if (distance <= limit && x + k + dx >= 0 && x + k + dx < width) {
                    const float weight = exp2f((float)distance * -falloff);
                    weights[k] += weight;
                    weighted[k] += weight * (float)picture.at(x + k + dx, y + dy);
                }
                distance -= row[k];
            }
        }
        __syncthreads(); // `sums` is written again
    }
    if (y < height) {
        store_four(row_of(target + blockIdx.z * target_frame, target_pitch, y), x, width,
                   make_float4(__fdividef(weighted[0], weights[0]), __fdividef(weighted[1], weights[1]),
                               __fdividef(weighted[2], weights[2]), __fdividef(weighted[3], weights[3])),
                   scale, peak);
    }
}
