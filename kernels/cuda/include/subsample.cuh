// Colour steps between frames of halved chroma, in one pass: chroma is brought to every pixel, the steps run on
// triplets, and their chroma is brought down again. What lies between stays in shared memory.
//
// A block computes CORE_W x CORE_H pixels. `coarse` holds chroma as it comes, `fine` that of every pixel with the rows
// and columns around the core that the way down reads.
#pragma once

#include "pointwise.cuh"

#define CORE_W 128
#define CORE_H 16
#define FOUR 4                     // pixels of a row that a thread computes at a time
#define COARSE_W 72                // from column left / 2 - 3
#define COARSE_H (CORE_H + 2)      // from row top_in
#define FINE_W (CORE_W + 2 * FOUR) // from column left - FOUR
#define FINE_H (CORE_H + 2)        // from row top - 1
#define SUBSAMPLE_THREADS 256

// Blocks that a multiprocessor is to hold at least. 0 leaves it to the compiler, which for Blackwell would rather spill
// than take more than 48 registers.
#if __CUDA_ARCH__ / 100 == 10
#define SUBSAMPLE_BLOCKS 3
#else
#define SUBSAMPLE_BLOCKS 0
#endif

struct Chroma {
    float coarse[2][COARSE_H][COARSE_W];
    float fine[2][FINE_H][FINE_W];
};

// How chroma of every pixel becomes halved chroma: weights of the samples at -1, 0, 1 and 2 from twice its place.
struct Descent {
    float across[4], down[4];
    int width, height; // of the picture
};

// Chroma of the pixels x..x+3 of row y (x a multiple of 4), bilinear at its siting, from `coarse` whose first row is
// `top_in`; everything there is scaled already.
__device__ __forceinline__ void rise(const float (&coarse)[COARSE_H][COARSE_W], int left, int top_in, int x, int y,
                                     const Siting &siting, float *values) {
    int above = y;
    float part = 0.0f;
    if (siting.halved_rows) {
        const float place = y * 0.5f + siting.place;
        above = (int)floorf(place);
        part = place - above;
    }
    const float *upper = coarse[above - top_in], *lower = coarse[above - top_in + siting.halved_rows];
    const int first = (x - left) / 2 + 2;
    float line[FOUR];
#pragma unroll
    for (int i = 0; i < FOUR; i++) {
        line[i] = upper[first + i] * (1.0f - part) + lower[first + i] * part;
    }
#pragma unroll
    for (int i = 0; i < FOUR / 2; i++) {
        values[2 * i] = siting.even[0] * line[i] + siting.even[1] * line[i + 1] + siting.even[2] * line[i + 2];
        values[2 * i + 1] = siting.odd[0] * line[i] + siting.odd[1] * line[i + 1] + siting.odd[2] * line[i + 2];
    }
}

// Index `i`, at most two beyond either end, mirrored there, the edge sample itself repeating.
__device__ __forceinline__ int reflect(int i, int count) {
    return max(i < 0 ? -1 - i : i >= count ? 2 * count - 1 - i : i, 0);
}

// Halved chroma from column x of row y on, `present` of four samples, from `fine` of the block at (left, top). Beyond
// the picture it is mirrored. ROWS: whether rows are halved too.
template <bool ROWS>
__device__ __forceinline__ void descend(const float (&fine)[FINE_H][FINE_W], int left, int top, int x, int y,
                                        int present, const Descent &descent, float *values) {
    float line[2 * FOUR + 2];
#pragma unroll
    for (int m = 0; m < 2 * FOUR + 2; m++) {
        // Columns of samples that are not present may lie anywhere: they are held inside, and not used.
        const int column = clamp_index(reflect(2 * x - 1 + m, descent.width) - left + FOUR, FINE_W);
        if (!ROWS) {
            line[m] = fine[y - top + 1][column];
            continue;
        }
        float sum = 0.0f;
#pragma unroll
        for (int j = 0; j < 4; j++) {
            sum += descent.down[j] * fine[reflect(2 * y - 1 + j, descent.height) - top + 1][column];
        }
        line[m] = sum;
    }
#pragma unroll
    for (int i = 0; i < FOUR; i++) {
        float sum = 0.0f;
#pragma unroll
        for (int m = 0; m < 4; m++) {
            sum += descent.across[m] * line[2 * i + m];
        }
        values[i] = i < present ? sum : 0.0f;
    }
}

// What a stored sample between two stages would be held to.
__device__ __forceinline__ float held(float v) {
    return fminf(fmaxf(v, 0.0f), 1.0f);
}
