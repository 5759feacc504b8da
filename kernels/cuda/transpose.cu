// Rows become columns: out(x, y) = in(y, x), the rows of the source reversed before it (FLIP_IN), those of the target
// after it (FLIP_OUT). A square goes through shared memory so that both sides are met row by row, in fours.
//
//     grid  ceil(width / TILE), ceil(height / TILE), frames
//     block TILE / 4, ROWS
#include "plane.cuh"

#ifndef FLIP_IN
#define FLIP_IN 0
#endif
#ifndef FLIP_OUT
#define FLIP_OUT 0
#endif
#ifndef TILE
#define TILE 64
#endif
#ifndef ROWS
#define ROWS 16
#endif

constexpr int bits = 8 * sizeof(SAMPLE_IN);
constexpr int per_word = 32 / bits;
constexpr int row_words = TILE / per_word + 1;
constexpr int half = TILE / 2;
constexpr int gap = per_word / 2;

// The word of `tile` that row `row` of the square begins with. No two threads of a warp meet in a bank where they read:
// 16 of them read every fourth row, which are 4 banks apart and begin anew after 8. Those of the lower half lie `gap`
// further on, between the banks that the next 16 threads leave.
__device__ __forceinline__ int place_of(int row) {
    return row * row_words + row / half * gap;
}

// source: height x width samples, target: width x height, pitches and frames in elements.
extern "C" __global__ void __launch_bounds__(TILE / 4 * ROWS)
    transpose(const SAMPLE_IN *__restrict__ source, int source_pitch, long long source_frame,
              SAMPLE_OUT *__restrict__ target, int target_pitch, long long target_frame, int width, int height) {
    __shared__ unsigned tile[TILE * row_words + gap];
    source += blockIdx.z * source_frame;
    target += blockIdx.z * target_frame;
    const int left = blockIdx.x * TILE; // of the target's square, counted as if nothing were flipped
    const int top = blockIdx.y * TILE;
    const int i = 4 * threadIdx.x;
    for (int j = threadIdx.y; j < TILE; j += ROWS) {
        if (left + j < width && top + i < height) {
            const int row = FLIP_IN ? width - 1 - (left + j) : left + j;
            const uint4 four = fetch_four<REPEAT>(row_of(source, source_pitch, row), top + i, height);
            unsigned *words = &tile[place_of(j) + i / per_word];
            if (bits == 8) {
                words[0] = four.x | four.y << 8 | four.z << 16 | four.w << 24;
            } else {
                words[0] = four.x | four.y << 16;
                words[1] = four.z | four.w << 16;
            }
        }
    }
    __syncthreads();

    // Columns i..i+3 of the target are rows of the tile; four of its rows lie in a word or two of each.
    for (int j = 4 * threadIdx.y; j < TILE; j += 4 * ROWS) {
        unsigned words[4][4 / per_word];
#pragma unroll
        for (int k = 0; k < 4; k++) {
#pragma unroll
            for (int w = 0; w < 4 / per_word; w++) {
                words[k][w] = tile[place_of(i + k) + j / per_word + w];
            }
        }
#pragma unroll
        for (int m = 0; m < 4; m++) {
            if (left + i < width && top + j + m < height) {
                const int row = FLIP_OUT ? height - 1 - (top + j + m) : top + j + m;
                const int up = m % per_word * bits;
                unsigned samples[4];
#pragma unroll
                for (int k = 0; k < 4; k++) {
                    samples[k] = words[k][m / per_word] >> up & ((1u << bits) - 1);
                }
                store_four(row_of(target, target_pitch, row), left + i, width,
                           make_uint4(samples[0], samples[1], samples[2], samples[3]));
            }
        }
    }
}
