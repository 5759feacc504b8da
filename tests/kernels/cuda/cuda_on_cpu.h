// Lets a CUDA C++ kernel compile, unchanged, as C++17, and run on the CPU one thread after another.
//
// Only what the kernels use is here. Shared memory is poisoned before every block, and the threads of a block run in
// whatever order the launch asks for, so that a missing barrier shows as a wrong picture (see runtime.cpp).
#pragma once
#include <math.h>
#include <string.h>

#define __global__
#define __device__
#define __constant__ static const
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __restrict__ __restrict
#define __shared__ static __attribute__((section("shared_memory")))

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
};

#define SHIM_VECTOR(T, NAME)                                                                                           \
    struct alignas(2 * sizeof(T)) NAME##2 {                                                                            \
        T x, y;                                                                                                        \
    };                                                                                                                 \
    struct alignas(4 * sizeof(T)) NAME##4 {                                                                            \
        T x, y, z, w;                                                                                                  \
    };                                                                                                                 \
    inline NAME##2 make_##NAME##2(T x, T y) {                                                                          \
        return {x, y};                                                                                                 \
    }                                                                                                                  \
    inline NAME##4 make_##NAME##4(T x, T y, T z, T w) {                                                                \
        return {x, y, z, w};                                                                                           \
    }
SHIM_VECTOR(unsigned char, uchar)
SHIM_VECTOR(unsigned short, ushort)
SHIM_VECTOR(int, int)
SHIM_VECTOR(unsigned, uint)
SHIM_VECTOR(float, float)
#undef SHIM_VECTOR

#define SHIM_LEAST_AND_GREATEST(T)                                                                                     \
    inline T min(T a, T b) {                                                                                           \
        return b < a ? b : a;                                                                                          \
    }                                                                                                                  \
    inline T max(T a, T b) {                                                                                           \
        return a < b ? b : a;                                                                                          \
    }
SHIM_LEAST_AND_GREATEST(int)
SHIM_LEAST_AND_GREATEST(unsigned)
SHIM_LEAST_AND_GREATEST(long long)
#undef SHIM_LEAST_AND_GREATEST

namespace shim {
// What a GPU may give in place of `right`, where it promises two units in the last place (CUDA C Programming Guide,
// mathematical functions): as far off as that, to a side that depends on the number.
inline float off(float right) {
    unsigned bits;
    memcpy(&bits, &right, sizeof bits);
    const float side = bits * 2654435761u >> 31 ? INFINITY : -INFINITY;
    return isnormal(right) ? nextafterf(nextafterf(right, side), side) : right;
}
} // namespace shim

inline float min(float a, float b) {
    return fminf(a, b);
}
inline float max(float a, float b) {
    return fmaxf(a, b);
}
inline float __saturatef(float x) {
    return x >= 1.0f ? 1.0f : x > 0.0f ? x : 0.0f;
}
inline float rsqrtf(float x) {
    return shim::off(1.0f / sqrtf(x));
}
inline float __fdividef(float a, float b) {
    return fabsf(b) > 0x1p126f ? 0.0f * a : shim::off(a / b);
}
inline float approximate_exp2f(float x) {
    return shim::off(exp2f(x));
}
#define exp2f approximate_exp2f
inline int __float2int_rn(float x) {
    return (int)nearbyintf(x);
}
inline int __float2int_rd(float x) {
    return (int)floorf(x);
}
inline float __fmaf_rn(float a, float b, float c) {
    return fmaf(a, b, c);
}
template <class T> T __ldg(const T *p) {
    return *p;
}

// Where the linker put this library's __shared__ variables.
extern "C" __attribute__((weak, visibility("hidden"))) char __start_shared_memory[], __stop_shared_memory[];

namespace shim {
extern uint3 thread_index, block_index;
extern dim3 block_size, grid_size;

// What a launch asks for, and where it failed.
struct Launch {
    unsigned grid[3], block[3];
    unsigned order; // of blocks and threads: 0 forward, 1 backward, above: shuffled anew for each block and after each
                    // barrier
    int count;      // of arguments
    const char *const *types;
    void *const *values;
    // Filled in by a failure: the line of a barrier or the number of an argument, and what was wanted there.
    int line;
    int signal;
    const char *wanted;
    unsigned failed_block[3], failed_thread[3];
};

enum Verdict { DONE, WRONG_COUNT, WRONG_TYPE, FAULT, DIVERGED, LEFT };

void wait(int line, bool in_warp);
void publish(const void *value, size_t bytes, int line); // to the warp; every thread of it takes part
void fetch(unsigned lane, void *value, size_t bytes);    // what the thread in `lane` published
unsigned lane();

template <class T> T exchange(T value, unsigned from, bool exists, int line) {
    publish(&value, sizeof value, line);
    if (exists) {
        fetch(from, &value, sizeof value);
    }
    return value;
}

int run(Launch *launch, void (*body)(void *), void *argument, char *shared, size_t shared_bytes);

// The type of a kernel's parameter in the letters of NumPy, such as i4 and f4; a pointer is P and what it points to,
// C if it only reads.
template <class T> struct Letters;
#define SHIM_LETTERS(T, TEXT)                                                                                          \
    template <> struct Letters<T> {                                                                                    \
        static constexpr const char *text = TEXT;                                                                      \
    };                                                                                                                 \
    template <> struct Letters<T *> {                                                                                  \
        static constexpr const char *text = "P" TEXT;                                                                  \
    };                                                                                                                 \
    template <> struct Letters<const T *> {                                                                            \
        static constexpr const char *text = "C" TEXT;                                                                  \
    };
SHIM_LETTERS(unsigned char, "u1")
SHIM_LETTERS(unsigned short, "u2")
SHIM_LETTERS(short, "i2")
SHIM_LETTERS(int, "i4")
SHIM_LETTERS(unsigned, "u4")
SHIM_LETTERS(long long, "i8")
SHIM_LETTERS(float, "f4")
#undef SHIM_LETTERS

// A kernel that only reads may be given what it could write to.
inline bool fits(const char *wanted, const char *given) {
    return strcmp(wanted, given) == 0 || (*wanted == 'C' && *given == 'P' && strcmp(wanted + 1, given + 1) == 0);
}

template <unsigned... I> struct Numbers {};

template <class... A, unsigned... I> int call(void (*kernel)(A...), Launch *launch, Numbers<I...>) {
    const char *const wanted[] = {Letters<A>::text..., ""};
    if (launch->count != (int)sizeof...(A)) {
        launch->line = sizeof...(A);
        return WRONG_COUNT;
    }
    for (int i = 0; i < launch->count; i++) {
        if (!fits(wanted[i], launch->types[i])) {
            launch->line = i;
            launch->wanted = wanted[i];
            return WRONG_TYPE;
        }
    }
    auto body = [&] { kernel(*(A *)launch->values[I]...); };
    auto enter = [](void *self) { (*(decltype(body) *)self)(); };
    return run(launch, enter, &body, __start_shared_memory, __stop_shared_memory - __start_shared_memory);
}

template <class... A> int call(void (*kernel)(A...), Launch *launch) {
    return call(kernel, launch, Numbers<__integer_pack(sizeof...(A))...>{});
}
} // namespace shim

#define threadIdx shim::thread_index
#define blockIdx shim::block_index
#define blockDim shim::block_size
#define gridDim shim::grid_size

inline void __syncthreads(int line = __builtin_LINE()) {
    shim::wait(line, false);
}
template <class T> T __shfl_down_sync(unsigned, T value, unsigned by, int line = __builtin_LINE()) {
    return shim::exchange(value, shim::lane() + by, shim::lane() + by < 32, line);
}
template <class T> T __shfl_up_sync(unsigned, T value, unsigned by, int line = __builtin_LINE()) {
    return shim::exchange(value, shim::lane() - by, shim::lane() >= by, line);
}
