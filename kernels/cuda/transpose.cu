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

// source: height x width samples, target: width x height, pitches and frames in elements.
extern "C" __global__ void __launch_bounds__(TILE / 4 * ROWS)
    transpose(const SAMPLE_IN *__restrict__ source, int source_pitch, long long source_frame,
              SAMPLE_OUT *__restrict__ target, int target_pitch, long long target_frame, int width, int height) {
    // Samples of a column lie an odd number of words apart: no two threads of a warp meet in a bank.
    __shared__ SAMPLE_IN tile[TILE][TILE + 4 / sizeof(SAMPLE_IN)];
    source += blockIdx.z * source_frame;
    target += blockIdx.z * target_frame;
    const int left = blockIdx.x * TILE; // of the target's square, counted as if nothing were flipped
    const int top = blockIdx.y * TILE;
    const int i = 4 * threadIdx.x;
    for (int j = threadIdx.y; j < TILE; j += ROWS) {
        if (left + j < width && top + i < height) {
            const int row = FLIP_IN ? width - 1 - (left + j) : left + j;
            const float4 four = load_four<REPEAT>(row_of(source, source_pitch, row), top + i, height);
            tile[j][i] = (SAMPLE_IN)four.x;
            tile[j][i + 1] = (SAMPLE_IN)four.y;
            tile[j][i + 2] = (SAMPLE_IN)four.z;
            tile[j][i + 3] = (SAMPLE_IN)four.w;
        }
    }
    __syncthreads();

    for (int j = threadIdx.y; j < TILE; j += ROWS) {
        if (left + i < width && top + j < height) {
            const int row = FLIP_OUT ? height - 1 - (top + j) : top + j;
            store_four(row_of(target, target_pitch, row), left + i, width,
                       make_uint4(tile[i][j], tile[i + 1][j], tile[i + 2][j], tile[i + 3][j]));
        }
    }
}
