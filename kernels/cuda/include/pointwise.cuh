// What generated pointwise kernels are made of: loads and stores of runs of samples, and one device function for
// each Numba twin, under the same formula. A kernel loads a run of RUN neighbouring samples of a component, calls its
// steps on each in registers, and stores once.
//
// Steps see values code / (2**depth - 1); `params` are theirs, a few numbers or a table in memory.
#pragma once

#include "plane.cuh"

#ifndef RUN
#define RUN 8 // samples a thread computes, a multiple of 8: 16 bytes of the wider side
#endif

#define CURVE_NODES 8192 // as in kernels/transfer.py
#define CURVE_TOP 2.0f   // as in kernels/transfer.py
#define GAMMA_NODES 4096 // NODES in kernels/ops/eq.py
#define BLOCK_W 32       // threads of a block along a row
#define BLOCK_H 4        // rows of a block

struct Triplet {
    float a, b, c;
};

// A 3x3 product by rows (params 0 to 8), then an offset (9 to 11).
__device__ __forceinline__ Triplet affine(Triplet v, const float *params) {
    return {params[0] * v.a + params[1] * v.b + params[2] * v.c + params[9],
            params[3] * v.a + params[4] * v.b + params[5] * v.c + params[10],
            params[6] * v.a + params[7] * v.b + params[8] * v.c + params[11]};
}

__device__ __forceinline__ float gain(float v, const float *params) {
    return params[0] * v + params[1];
}

// As gain, held within 0..1.
__device__ __forceinline__ float held_gain(float v, const float *params) {
    return fminf(fmaxf(params[0] * v + params[1], 0.0f), 1.0f);
}

// A table (from params[2]) over the root of what held_gain gives.
__device__ __forceinline__ float gamma_table(float v, const float *params) {
    const float at = sqrtf(held_gain(v, params)) * GAMMA_NODES;
    const int k = min((int)at, GAMMA_NODES - 1);
    const float low = __ldg(params + 2 + k), high = __ldg(params + 3 + k);
    return low + (at - k) * (high - low);
}

// An odd function as a table (from params[1]) over the magnitude, or over its root where params[0] is 1.
__device__ __forceinline__ float curve(float v, const float *params) {
    const float magnitude = fminf(fabsf(v), CURVE_TOP);
    const float root = sqrtf(magnitude) * (CURVE_NODES / 1.41421356237f);
    const float at = __ldg(params) > 0.5f ? root : magnitude * (CURVE_NODES / CURVE_TOP);
    const int k = min((int)at, CURVE_NODES - 1);
    const float low = __ldg(params + 1 + k), high = __ldg(params + 2 + k);
    const float found = low + (at - k) * (high - low);
    return v >= 0.0f ? found : -found;
}

// The first sample of a thread's run in a plane that takes `columns` blocks across, for block number `block` of it.
struct Place {
    int x, y;
};

__device__ __forceinline__ Place place_of(int block, int columns) {
    const int row = block / columns;
    return {((block - row * columns) * BLOCK_W + (int)threadIdx.x) * RUN, row * BLOCK_H + (int)threadIdx.y};
}

// Where row `y` of frame `blockIdx.z` begins.
template <typename T> __device__ __forceinline__ T *row_of(T *plane, int pitch, long long frame, int y) {
    return plane + (long long)blockIdx.z * frame + (long long)y * pitch;
}

__device__ __forceinline__ bool is_aligned(const void *address, int bytes) {
    return ((unsigned long long)address & (bytes - 1)) == 0;
}

// COUNT samples from `from` (`present` of them exist) as float. In words of 16 bytes where they lie so.
template <int COUNT> __device__ __forceinline__ void load_samples(const SAMPLE_IN *from, int present, float *values) {
    constexpr int per_word = 4 / (int)sizeof(SAMPLE_IN);
    constexpr int bits = 8 * (int)sizeof(SAMPLE_IN);
    constexpr int words = COUNT / per_word;
    constexpr int wide = words % 4 == 0 ? 16 : words % 2 == 0 ? 8 : 4;
    if (present >= COUNT && is_aligned(from, wide)) {
        unsigned int packed[words];
        if (wide == 16) {
#pragma unroll
            for (int w = 0; w < words / 4; w++) {
                const uint4 quad = __ldg((const uint4 *)from + w);
                packed[4 * w] = quad.x, packed[4 * w + 1] = quad.y, packed[4 * w + 2] = quad.z;
                packed[4 * w + 3] = quad.w;
            }
        } else if (wide == 4) {
            packed[0] = __ldg((const unsigned int *)from);
        } else {
#pragma unroll
            for (int w = 0; w < words / 2; w++) {
                const uint2 pair = __ldg((const uint2 *)from + w);
                packed[2 * w] = pair.x, packed[2 * w + 1] = pair.y;
            }
        }
#pragma unroll
        for (int i = 0; i < COUNT; i++) {
            values[i] = (float)(packed[i / per_word] >> (i % per_word * bits) & ((1u << bits) - 1));
        }
        return;
    }
#pragma unroll
    for (int i = 0; i < COUNT; i++) {
        values[i] = i < present ? (float)from[i] : 0.0f;
    }
}

// COUNT samples to `to`, `present` of them: stored samples already, within their range.
template <int COUNT>
__device__ __forceinline__ void store_samples(SAMPLE_OUT *to, int present, const unsigned int *samples) {
    constexpr int per_word = 4 / (int)sizeof(SAMPLE_OUT);
    constexpr int bits = 8 * (int)sizeof(SAMPLE_OUT);
    constexpr int words = COUNT / per_word;
    constexpr int wide = words % 4 == 0 ? 16 : words % 2 == 0 ? 8 : 4;
    if (present >= COUNT && is_aligned(to, wide)) {
        unsigned int packed[words];
#pragma unroll
        for (int w = 0; w < words; w++) {
            packed[w] = 0;
#pragma unroll
            for (int i = 0; i < per_word; i++) {
                packed[w] |= samples[w * per_word + i] << (i * bits);
            }
        }
        if (wide == 16) {
#pragma unroll
            for (int w = 0; w < words / 4; w++) {
                ((uint4 *)to)[w] = make_uint4(packed[4 * w], packed[4 * w + 1], packed[4 * w + 2], packed[4 * w + 3]);
            }
        } else if (wide == 4) {
            *(unsigned int *)to = packed[0];
        } else {
#pragma unroll
            for (int w = 0; w < words / 2; w++) {
                ((uint2 *)to)[w] = make_uint2(packed[2 * w], packed[2 * w + 1]);
            }
        }
        return;
    }
#pragma unroll
    for (int i = 0; i < COUNT; i++) {
        if (i < present) {
            to[i] = (SAMPLE_OUT)samples[i];
        }
    }
}

// RUN samples of a plane from column x, STEP elements apart, `present` of them in the picture.
template <int STEP> __device__ __forceinline__ void load_run(const SAMPLE_IN *row, int x, int present, float *values) {
    if (STEP == 1) {
        load_samples<RUN>(row + x, present, values);
        return;
    }
#pragma unroll
    for (int i = 0; i < RUN; i++) {
        values[i] = i < present ? (float)row[(x + i) * STEP] : 0.0f;
    }
}

template <int STEP>
__device__ __forceinline__ void store_run(SAMPLE_OUT *row, int x, int present, const unsigned int *samples) {
    if (STEP == 1) {
        store_samples<RUN>(row + x, present, samples);
        return;
    }
#pragma unroll
    for (int i = 0; i < RUN; i++) {
        if (i < present) {
            row[(x + i) * STEP] = (SAMPLE_OUT)samples[i];
        }
    }
}

// RUN pairs of two planes that lie interleaved, `row` beginning with the first plane's sample.
__device__ __forceinline__ void load_pairs(const SAMPLE_IN *row, int x, int present, float *first, float *second) {
    float both[2 * RUN];
    load_samples<2 * RUN>(row + 2 * x, 2 * present, both);
#pragma unroll
    for (int i = 0; i < RUN; i++) {
        first[i] = both[2 * i], second[i] = both[2 * i + 1];
    }
}

__device__ __forceinline__ void store_pairs(SAMPLE_OUT *row, int x, int present, const unsigned int *first,
                                            const unsigned int *second) {
    unsigned int both[2 * RUN];
#pragma unroll
    for (int i = 0; i < RUN; i++) {
        both[2 * i] = first[i], both[2 * i + 1] = second[i];
    }
    store_samples<2 * RUN>(row + 2 * x, 2 * present, both);
}

// How halved chroma comes to every pixel, bilinear at its siting (`upsampling` in kernels/backends/pointwise.py).
struct Siting {
    float even[3], odd[3]; // weights of the samples at -1, 0 and 1 for even and odd columns
    float place;           // of a row, from half its number
    int halved_rows;
    int width, height; // of the chroma plane
};

// Chroma at `first` - 1 to `first` + RUN / 2 of a row of `width` places, edges repeating: COMPONENTS samples (1 or 2)
// of the STEP that lie at each.
template <int COMPONENTS, int STEP>
__device__ __forceinline__ void load_around(const SAMPLE_IN *row, int first, int width, float *values) {
    constexpr int places = RUN / 2;
    constexpr int bytes = STEP * places * (int)sizeof(SAMPLE_IN);
    constexpr int unit = bytes < 16 ? bytes : 16; // what load_samples loads at once
    const bool is_whole = COMPONENTS == STEP && first + places <= width && is_aligned(row + STEP * first, unit);
    if (is_whole) {
        load_samples<STEP * places>(row + STEP * first, STEP * places, values + COMPONENTS);
    }
#pragma unroll
    for (int i = 0; i < places + 2; i++) {
        if (i == 0 || i == places + 1 || !is_whole) {
#pragma unroll
            for (int c = 0; c < COMPONENTS; c++) {
                values[COMPONENTS * i + c] = (float)row[STEP * clamp_index(first - 1 + i, width) + c];
            }
        }
    }
}

// RUN pixels from column x (even) of row y of a chroma plane STEP elements apart, times `load`. Of two COMPONENTS that
// lie interleaved the other comes into `second`.
template <int COMPONENTS, int STEP>
__device__ __forceinline__ void load_chroma(const SAMPLE_IN *plane, int pitch, int x, int y, const Siting &siting,
                                            float load, float *values, float *second = nullptr) {
    constexpr int places = RUN / 2 + 2;
    int above = y;
    float part = 0.0f;
    if (siting.halved_rows) {
        const float place = y * 0.5f + siting.place;
        above = (int)floorf(place);
        part = (place - above) * load;
    }
    float upper[COMPONENTS * places], lower[COMPONENTS * places];
    const SAMPLE_IN *row = plane + (long long)clamp_index(above, siting.height) * pitch;
    load_around<COMPONENTS, STEP>(row, x / 2, siting.width, upper);
    row = plane + (long long)clamp_index(above + siting.halved_rows, siting.height) * pitch;
    load_around<COMPONENTS, STEP>(row, x / 2, siting.width, lower);
#pragma unroll
    for (int c = 0; c < COMPONENTS; c++) {
        float *to = c == 0 ? values : second;
        float line[places];
#pragma unroll
        for (int i = 0; i < places; i++) {
            line[i] = upper[COMPONENTS * i + c] * (load - part) + lower[COMPONENTS * i + c] * part;
        }
#pragma unroll
        for (int i = 0; i < RUN / 2; i++) {
            to[2 * i] = siting.even[0] * line[i] + siting.even[1] * line[i + 1] + siting.even[2] * line[i + 2];
            to[2 * i + 1] = siting.odd[0] * line[i] + siting.odd[1] * line[i + 1] + siting.odd[2] * line[i + 2];
        }
    }
}

// What is added before a value is cut to an integer: a half, or at (x, y) of the ordered 8x8 pattern (Bayer 1973)
// something between 0 and 1.
template <bool DITHER> __device__ __forceinline__ float rounding(int x, int y) {
    if (!DITHER) {
        return 0.5f;
    }
    int order = 0;
#pragma unroll
    for (int bit = 0; bit < 3; bit++) {
        order += (2 * ((x ^ y) >> bit & 1) + (y >> bit & 1)) << (4 - 2 * bit);
    }
    return (order + 0.5f) * (1.0f / 64.0f);
}

// The only rounding of a kernel.
__device__ __forceinline__ unsigned int stored(float value, float store, float bias, float peak) {
    return (unsigned int)fminf(fmaxf(value * store + bias, 0.0f), peak) << SHIFT_OUT;
}
