// A plane as every plane kernel meets it, and the one place where a sample is rounded.
//
// A sample is stored as `code << shift` in 8 or 16 bits. Kernels load stored samples as float, compute in that
// unit, and store `value * scale`, rounded to nearest (ties up) and kept within 0..peak of the target. The
// scale, a power of two in limited range, takes the source's depth and shift to the target's: 1 when they are equal.
// What is rounded may be shifted up then: hardware encoders take whole codes at the top of 16 bits.
//
// Samples travel in fours: one load or store of 4 to 16 bytes where the address allows it, one by one elsewhere.
#pragma once

#ifndef SAMPLE_IN
#define SAMPLE_IN unsigned char // or unsigned short
#endif
#ifndef SAMPLE_OUT
#define SAMPLE_OUT unsigned char // or unsigned short
#endif
#ifndef STEP_IN
#define STEP_IN 1 // elements from one sample to the next: 2 in the interleaved chroma of NV12 and P010
#endif
#ifndef STEP_OUT
#define STEP_OUT 1
#endif

#ifndef SHIFT_OUT
#define SHIFT_OUT 0 // bits that a sample is shifted up by once it is rounded
#endif

// What lies beyond the edges of a plane.
enum Edge {
    REPEAT, // the edge sample:                        0 0 | 0 1 2
    MIRROR, // the samples before it, itself included: 1 0 | 0 1 2
};

// N samples of type T, STEP elements apart, in 32-bit words.
template <typename T, int N, int STEP> struct alignas(N * STEP * sizeof(T)) Packed {
    static constexpr int per_word = 4 / sizeof(T);
    static constexpr int bits = 8 * sizeof(T);
    unsigned words[N * STEP / per_word];

    // Sample `k`, or that `offset` elements after it, which is less than STEP.
    __device__ __forceinline__ unsigned get(int k, int offset = 0) const {
        return words[k * STEP / per_word] >> (k * STEP % per_word + offset) * bits & ((1u << bits) - 1);
    }
};

template <typename T> __device__ __forceinline__ bool is_aligned(const void *address) {
    return ((unsigned long long)address & (sizeof(T) - 1)) == 0;
}

// Index `i` held within 0..count-1: the edge sample repeats.
__device__ __forceinline__ int clamp_index(int i, int count) {
    return min(max(i, 0), count - 1);
}

// Index `i` mirrored at the edges, the edge sample itself repeating. Right for any `i`.
__device__ __forceinline__ int mirror_index(int i, int count) {
    if (i >= 0 && i < count) {
        return i;
    }
    const int period = 2 * count;
    int wrapped = i % period;
    wrapped += wrapped < 0 ? period : 0;
    return wrapped < count ? wrapped : period - 1 - wrapped;
}

template <Edge EDGE> __device__ __forceinline__ int inside(int i, int count) {
    return EDGE == REPEAT ? clamp_index(i, count) : mirror_index(i, count);
}

// First element of row `y`. Offsets are 64-bit: 32768 rows of 65536 elements do not fit in 32.
template <typename T> __device__ __forceinline__ T *row_of(T *plane, int pitch, int y) {
    return plane + (long long)y * pitch;
}

// Stored samples x..x+3 of a row of `width`. Interleaved components are loaded together, whichever of both is wanted.
template <Edge EDGE> __device__ __forceinline__ uint4 fetch_four(const SAMPLE_IN *row, int x, int width) {
    using Four = Packed<SAMPLE_IN, 4, STEP_IN>;
    if (x >= 0 && x + 3 < width) {
        const SAMPLE_IN *first = row + x * STEP_IN;
        const int offset = STEP_IN == 2 && !is_aligned<Packed<SAMPLE_IN, 4 / sizeof(SAMPLE_IN), 1>>(first);
        if (is_aligned<Four>(first - offset)) {
            const Four four = *(const Four *)(first - offset);
            return make_uint4(four.get(0, offset), four.get(1, offset), four.get(2, offset), four.get(3, offset));
        }
    }
    return make_uint4(row[inside<EDGE>(x, width) * STEP_IN], row[inside<EDGE>(x + 1, width) * STEP_IN],
                      row[inside<EDGE>(x + 2, width) * STEP_IN], row[inside<EDGE>(x + 3, width) * STEP_IN]);
}

// The same as float.
template <Edge EDGE> __device__ __forceinline__ float4 load_four(const SAMPLE_IN *row, int x, int width) {
    const uint4 four = fetch_four<EDGE>(row, x, width);
    return make_float4((float)four.x, (float)four.y, (float)four.z, (float)four.w);
}

// Fill `rows` rows of `tile` with the stored samples of a width x height plane from (left, top) on. Every one of the
// block's THREADS threads takes part; `tile` is aligned to 16 bytes, and vector loads need a `left` that is a multiple
// of 4.
template <Edge EDGE, int THREADS, int H, int W>
__device__ __forceinline__ void load_tile(float (&tile)[H][W], int rows, const SAMPLE_IN *plane, int pitch, int left,
                                          int top, int width, int height) {
    constexpr int fours = W / 4;
    const int thread = threadIdx.y * blockDim.x + threadIdx.x;
    for (int i = thread; i < rows * fours; i += THREADS) {
        const int j = i / fours;
        const int k = i % fours * 4;
        const SAMPLE_IN *row = row_of(plane, pitch, inside<EDGE>(top + j, height));
        *(float4 *)&tile[j][k] = load_four<EDGE>(row, left + k, width);
    }
}

// The stored sample for `value`: the only rounding of a kernel. `peak` is the largest sample before it is shifted up.
__device__ __forceinline__ unsigned stored(float value, float scale, int peak) {
    return (unsigned)fminf(fmaxf(value * scale + 0.5f, 0.0f), (float)peak) << SHIFT_OUT;
}

// Write samples x..x+3 of a row of `width`, as far as they lie in it.
__device__ __forceinline__ void store_four(SAMPLE_OUT *row, int x, int width, uint4 sample) {
    using Four = Packed<SAMPLE_OUT, 4, 1>;
    SAMPLE_OUT *first = row + x * STEP_OUT;
    if (STEP_OUT == 1 && x + 3 < width && is_aligned<Four>(first)) {
        Four four;
        if (sizeof(SAMPLE_OUT) == 1) {
            four.words[0] = sample.x | sample.y << 8 | sample.z << 16 | sample.w << 24;
        } else {
            four.words[0] = sample.x | sample.y << 16;
            four.words[Four::per_word == 2] = sample.z | sample.w << 16;
        }
        *(Four *)first = four;
        return;
    }
    const unsigned samples[4] = {sample.x, sample.y, sample.z, sample.w};
#pragma unroll
    for (int k = 0; k < 4; k++) {
        if (x + k < width) {
            first[k * STEP_OUT] = (SAMPLE_OUT)samples[k];
        }
    }
}

__device__ __forceinline__ void store_four(SAMPLE_OUT *row, int x, int width, float4 value, float scale, int peak) {
    store_four(row, x, width,
               make_uint4(stored(value.x, scale, peak), stored(value.y, scale, peak), stored(value.z, scale, peak),
                          stored(value.w, scale, peak)));
}
