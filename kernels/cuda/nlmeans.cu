// Non-local means of one plane:
//
//     out(x) = sum over y of w(x, y) * in(y) / sum over y of w(x, y)         w(x, y) = exp(-d(x, y) * falloff)
//
// with y over the (2 * WINDOW + 1) squared offsets that lie in the picture, d the sum of squared differences of the
// patches of (2 * PATCH + 1) squared samples around x and y, edges repeated; x itself weighs 1.
//
// A plane is read once and written once: a tile with its margins lies in shared memory, and both sums stay in
// registers over all offsets. A warp works on 64 columns, a lane on two neighbouring ones, ROWS rows long. For each
// offset, squared differences slide down the columns in integers (one row enters, one leaves), and the lanes add up
// their neighbours' columns by shuffles: no barrier after the first. Lanes at either end only serve their neighbours.
//
//     grid  ceil(width / COLUMNS), ceil(height / (WARPS * ROWS)), frames        COLUMNS = 64 - 4 * ceil(PATCH / 2)
//     block 32, WARPS
#include "plane.cuh"

#ifndef PATCH
#define PATCH 3 // 0 to 7
#endif
#ifndef WINDOW
#define WINDOW 7 // 1 to 49
#endif
#ifndef DOWN_SHIFT
#define DOWN_SHIFT 0 // distances are taken on samples shifted down so far that their sums fit 32 bits
#endif
#ifndef ROWS
#define ROWS 8
#endif
#ifndef WARPS
#define WARPS 4
#endif
#ifndef MIN_BLOCKS
#define MIN_BLOCKS (PATCH <= 3 ? 4 : 3) // a multiprocessor at once: 128 or 160 registers a thread, and none spilled
#endif

constexpr int everyone = -1; // every lane of a warp
constexpr int side_lanes = (PATCH + 1) / 2;
constexpr int columns = 64 - 4 * side_lanes;
constexpr int tile_w = 64 + 2 * WINDOW;
constexpr int tile_h = WARPS * ROWS + 2 * (PATCH + WINDOW);
constexpr int seen_rows = ROWS + 2 * PATCH;

// Two neighbouring columns.
struct Pair {
    int a, b;
};

// For the column sums of this lane and its neighbours, the sums over the 2 * PATCH + 1 columns around each of its own.
__device__ __forceinline__ Pair over_columns(Pair own) {
    Pair total = own;
    const int both = own.a + own.b;
    if (PATCH > 0) {
        total = {both, both}; // both columns are in both windows
    }
#pragma unroll
    for (int lanes = 1; lanes <= side_lanes; lanes++) {
        // From a, the columns of the lane so far to the left are 2 * lanes and 2 * lanes - 1 away, those of the lane
        // to the right 2 * lanes and 2 * lanes + 1; from b the other way round.
        if (2 * lanes <= PATCH) {
            const int before = __shfl_up_sync(everyone, both, lanes);
            const int after = __shfl_down_sync(everyone, both, lanes);
            const bool all = 2 * lanes + 1 <= PATCH;
            total.a += before + (all ? after : __shfl_down_sync(everyone, own.a, lanes));
            total.b += after + (all ? before : __shfl_up_sync(everyone, own.b, lanes));
        } else {
            total.a += __shfl_up_sync(everyone, own.b, lanes);
            total.b += __shfl_down_sync(everyone, own.a, lanes);
        }
    }
    return total;
}

__device__ __forceinline__ float weight_of(int distance, int limit, float falloff) {
    return distance <= limit ? exp2f((float)distance * -falloff) : 0.0f;
}

// source, target: planes of width x height samples, pitches and frames in elements.
// falloff: of the weight's binary logarithm, per unit of distance; limit: the largest distance that has a weight.
extern "C" __global__ void __launch_bounds__(32 * WARPS, MIN_BLOCKS)
    nlmeans(const SAMPLE_IN *__restrict__ source, int source_pitch, long long source_frame,
            SAMPLE_OUT *__restrict__ target, int target_pitch, long long target_frame, int width, int height,
            float scale, int peak, float falloff, int limit) {
    __shared__ SAMPLE_IN tile[tile_h][tile_w];
    source += blockIdx.z * source_frame;
    target += blockIdx.z * target_frame;
    const int left = blockIdx.x * columns - 2 * side_lanes; // picture column of the first lane
    const int top = blockIdx.y * WARPS * ROWS;
    for (int j = threadIdx.y; j < tile_h; j += WARPS) {
        const SAMPLE_IN *row = row_of(source, source_pitch, clamp_index(top - PATCH - WINDOW + j, height));
        for (int i = threadIdx.x; i < tile_w; i += 32) {
            tile[j][i] = row[clamp_index(left - WINDOW + i, width) * STEP_IN];
        }
    }
    __syncthreads();

    const int column = 2 * threadIdx.x + WINDOW; // of the tile
    const int first = threadIdx.y * ROWS + WINDOW;
    const int x = left + 2 * threadIdx.x;
    const int y = top + threadIdx.y * ROWS;
    Pair own[seen_rows];
    float2 weighted[ROWS], weights[ROWS];
#pragma unroll
    for (int r = 0; r < seen_rows; r++) {
        const SAMPLE_IN *at = &tile[first + r][column];
        own[r] = {at[0] >> DOWN_SHIFT, at[1] >> DOWN_SHIFT};
        if (r >= PATCH && r < PATCH + ROWS) {
            weighted[r - PATCH] = make_float2((float)at[0], (float)at[1]);
            weights[r - PATCH] = make_float2(1.0f, 1.0f);
        }
    }

    for (int dy = -WINDOW; dy <= WINDOW; dy++) {
        for (int dx = -WINDOW; dx <= WINDOW; dx++) {
            if (dx == 0 && dy == 0) {
                continue;
            }
            const int limit_a = x + dx >= 0 && x + dx < width ? limit : -1;
            const int limit_b = x + 1 + dx >= 0 && x + 1 + dx < width ? limit : -1;
            Pair squares[seen_rows];
            Pair values[seen_rows];
            Pair sum = {0, 0};
#pragma unroll
            for (int r = 0; r < seen_rows; r++) {
                const SAMPLE_IN *at = &tile[first + dy + r][column + dx];
                values[r] = {at[0], at[1]};
                const int a = own[r].a - (values[r].a >> DOWN_SHIFT);
                const int b = own[r].b - (values[r].b >> DOWN_SHIFT);
                squares[r] = {a * a, b * b};
                sum.a += squares[r].a;
                sum.b += squares[r].b;
                if (r < 2 * PATCH) {
                    continue;
                }
                const int k = r - 2 * PATCH; // this row of the target has all rows of its patch now
                const Pair distance = over_columns(sum);
                sum.a -= squares[k].a;
                sum.b -= squares[k].b;
                if (y + k + dy >= 0 && y + k + dy < height) {
                    const float weight_a = weight_of(distance.a, limit_a, falloff);
                    const float weight_b = weight_of(distance.b, limit_b, falloff);
                    weights[k].x += weight_a;
                    weights[k].y += weight_b;
                    weighted[k].x += weight_a * (float)values[k + PATCH].a;
                    weighted[k].y += weight_b * (float)values[k + PATCH].b;
                }
            }
        }
    }

    if (threadIdx.x < side_lanes || threadIdx.x >= 32 - side_lanes) {
        return;
    }
#pragma unroll
    for (int k = 0; k < ROWS; k++) {
        if (y + k < height) {
            SAMPLE_OUT *row = row_of(target, target_pitch, y + k);
            const float2 value =
                make_float2(__fdividef(weighted[k].x, weights[k].x), __fdividef(weighted[k].y, weights[k].y));
            if (x < width) {
                row[x * STEP_OUT] = (SAMPLE_OUT)stored(value.x, scale, peak);
            }
            if (x + 1 < width) {
                row[(x + 1) * STEP_OUT] = (SAMPLE_OUT)stored(value.y, scale, peak);
            }
        }
    }
}
