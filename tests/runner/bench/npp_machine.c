/* A driver on host memory and NPP on top of it, as far as runner/bench/npp.py asks: each call is held to what it says.
 *
 * Compiled once as libcuda.so.1 and as each of NPP's libraries. NPP_LOG: the file that gets a line for each call of NPP,
 * and for each launch of a graph. NPP_STATUS: what NPP's functions return (0). NPP_CAPTURE: what the end of a capture
 * returns (0).
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long long device_pointer;
typedef unsigned char sample;

typedef struct { int width, height; } NppiSize;
typedef struct { int x, y, width, height; } NppiRect;
typedef struct {
    void *hStream;
    int nCudaDeviceId, nMultiProcessorCount, nMaxThreadsPerMultiProcessor, nMaxThreadsPerBlock;
    size_t nSharedMemPerBlock;
    int nCudaDevAttrComputeCapabilityMajor, nCudaDevAttrComputeCapabilityMinor;
    unsigned nStreamFlags;
    int nReserved0;
} NppStreamContext;

#ifdef DRIVER
static char stream, context, graph, ready;
static int current, blocks, capturing, graphs;

int cuInit(unsigned flags) { return 0; }
int cuDeviceGet(int *device, int ordinal) { return *device = ordinal; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    *value = 1000 + attribute;
    return 0;
}
int cuDevicePrimaryCtxRetain(void **found, int device) {
    *found = &context;
    return 0;
}
int cuDevicePrimaryCtxRelease_v2(int device) {
    if (current || blocks || capturing || graphs)
        abort(); /* something was left behind */
    return 0;
}
int cuCtxPushCurrent_v2(void *given) { return !(current = given == &context); }
int cuCtxPopCurrent_v2(void **given) { return current = 0; }
int cuStreamCreate(void **made, unsigned flags) {
    *made = &stream;
    return flags != 1;
}
int cuStreamSynchronize(void *given) { return given != &stream; }
int cuStreamDestroy_v2(void *given) { return given != &stream; }
int cuMemAlloc_v2(device_pointer *pointer, size_t size) {
    *pointer = (device_pointer)malloc(size);
    return blocks++, 0;
}
int cuMemFree_v2(device_pointer pointer) {
    free((void *)pointer);
    return blocks--, 0;
}
int cuMemcpyHtoD_v2(device_pointer target, const void *source, size_t size) {
    memcpy((void *)target, source, size);
    return 0;
}
int cuStreamBeginCapture_v2(void *given, int mode) {
    capturing++;
    return given != &stream || mode != 2;
}
int cuStreamEndCapture(void *given, void **captured) {
    const char *status = getenv("NPP_CAPTURE");
    capturing--;
    if (status)
        return atoi(status);
    *captured = &graph;
    return graphs++, given != &stream;
}
int cuGraphInstantiateWithFlags(void **made, void *given, unsigned long long flags) {
    *made = &ready;
    return graphs++, given != &graph || flags;
}
int cuGraphDestroy(void *given) { return graphs--, given != &graph; }
int cuGraphExecDestroy(void *given) { return graphs--, given != &ready; }
int cuGraphLaunch(void *given, void *on) {
    FILE *log = fopen(getenv("NPP_LOG"), "a");
    fprintf(log, "launch\n");
    fclose(log);
    return given != &ready || on != &stream;
}
int cuEventCreate(void **event, unsigned flags) { return !(*event = malloc(1)); }
int cuEventDestroy_v2(void *event) {
    free(event);
    return 0;
}
int cuEventRecord(void *event, void *given) { return given != &stream; }
int cuEventSynchronize(void *event) { return 0; }
int cuEventElapsedTime(float *took_ms, void *begin, void *end) {
    *took_ms = 3;
    return begin == end;
}
#else
static unsigned long read_bytes;

static void read_plane(const sample *plane, int step, int width, int height) {
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            read_bytes += plane[(size_t)y * step + x] >= 0;
}

static void write_plane(sample *plane, int step, int width, int height) {
    for (int y = 0; y < height; y++)
        memset(plane + (size_t)y * step, 0, width);
}

static int told(const char *what, int mode, int width, int height, NppStreamContext on) {
    FILE *log = fopen(getenv("NPP_LOG"), "a");
    fprintf(log, "%s %d %dx%d %d %d %d %d %d %zu %d %d %u %d\n", what, mode, width, height, on.hStream != NULL,
            on.nCudaDeviceId, on.nMultiProcessorCount, on.nMaxThreadsPerMultiProcessor, on.nMaxThreadsPerBlock,
            on.nSharedMemPerBlock, on.nCudaDevAttrComputeCapabilityMajor, on.nCudaDevAttrComputeCapabilityMinor,
            on.nStreamFlags, on.nReserved0);
    fclose(log);
    const char *status = getenv("NPP_STATUS");
    return status ? atoi(status) : 0;
}

int nppiResize_8u_C1R_Ctx(const sample *source, int source_step, NppiSize from, NppiRect from_part, sample *target,
                          int target_step, NppiSize to, NppiRect to_part, int mode, NppStreamContext on) {
    if (from_part.x || from_part.y || from_part.width != from.width || from_part.height != from.height || to_part.x ||
        to_part.y || to_part.width != to.width || to_part.height != to.height)
        return -1;
    read_plane(source, source_step, from.width, from.height);
    write_plane(target, target_step, to.width, to.height);
    return told("resize", mode, to.width, to.height, on);
}

int nppiNV12ToRGB_709CSC_8u_P2C3R_Ctx(const sample *const source[2], int source_step, sample *target, int target_step,
                                      NppiSize size, NppStreamContext on) {
    read_plane(source[0], source_step, size.width, size.height);
    read_plane(source[1], source_step, size.width, size.height / 2);
    write_plane(target, target_step, 3 * size.width, size.height);
    return told("nv12", 0, size.width, size.height, on);
}

int nppiYUV420ToRGB_8u_P3R_Ctx(const sample *const source[3], int source_step[3], sample *target[3], int target_step,
                               NppiSize size, NppStreamContext on) {
    read_plane(source[0], source_step[0], size.width, size.height);
    for (int i = 1; i < 3; i++)
        read_plane(source[i], source_step[i], size.width / 2, size.height / 2);
    for (int i = 0; i < 3; i++)
        write_plane(target[i], target_step, size.width, size.height);
    return told("yuv420", 0, size.width, size.height, on);
}
#endif
