/* libcuda.so.1 on host memory: what PyNvVideoCodec asks of it, done at once and in order.
 *
 * NV_CUINIT    what cuInit returns (0); no device, as from NVIDIA's, where CUDA_VISIBLE_DEVICES is empty
 * NV_DEVICES   how many devices there are (1)
 */
#include "standin.h"

#include <pthread.h>

typedef unsigned long long device_pointer;

static void *const PRIMARY = (void *)0x1000;

enum { HOST_MEMORY = 1 };
enum { NO_DEVICE = 100 };

typedef struct {
    size_t src_x, src_y;
    int src_type;
    const void *src_host;
    device_pointer src_device;
    void *src_array;
    size_t src_pitch;
    size_t dst_x, dst_y;
    int dst_type;
    void *dst_host;
    device_pointer dst_device;
    void *dst_array;
    size_t dst_pitch;
    size_t width_bytes, height;
} copy_2d;

int cuInit(unsigned flags) {
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    if (visible && !*visible)
        return NO_DEVICE;
    return (int)number("NV_CUINIT", OK);
}

int cuDriverGetVersion(int *version) {
    *version = 13000;
    return OK;
}

int cuDeviceGetCount(int *count) {
    *count = (int)number("NV_DEVICES", 1);
    return OK;
}

int cuDeviceGet(int *device, int ordinal) {
    *device = ordinal;
    return OK;
}

int cuDeviceGetName(char *name, int size, int device) {
    snprintf(name, (size_t)size, "Stand-in %d", device);
    return OK;
}

int cuDeviceGetAttribute(int *value, int attribute, int device) {
    *value = attribute == 75 ? 8 : attribute == 76 ? 9 : 1; /* compute capability 8.9 */
    return OK;
}

/* Each thread has a stack of contexts, the last one current. Others than the primary one are new ones each time, and
 * noted as they come and go. */
enum { INVALID_VALUE = 1, NO_CONTEXT = 201, MAX_CONTEXTS = 64 };
static __thread void *contexts[MAX_CONTEXTS];
static __thread int depth;
static int retained;

int cuDevicePrimaryCtxRetain(void **context, int device) {
    __atomic_add_fetch(&retained, 1, __ATOMIC_SEQ_CST);
    *context = PRIMARY;
    return OK;
}

int cuDevicePrimaryCtxRelease_v2(int device) {
    __atomic_sub_fetch(&retained, 1, __ATOMIC_SEQ_CST);
    return OK;
}

int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active) {
    *flags = 0;
    *active = __atomic_load_n(&retained, __ATOMIC_SEQ_CST) > 0;
    return OK;
}

int cuCtxPushCurrent_v2(void *context) {
    if (!context || depth == MAX_CONTEXTS)
        return INVALID_VALUE;
    contexts[depth++] = context;
    return OK;
}

int cuCtxPopCurrent_v2(void **context) {
    if (!depth)
        return NO_CONTEXT;
    depth--;
    if (context)
        *context = contexts[depth];
    return OK;
}

int cuCtxGetCurrent(void **context) {
    *context = depth ? contexts[depth - 1] : NULL;
    return OK;
}

int cuCtxCreate_v2(void **context, unsigned flags, int device) {
    static long made = 0x2000;
    *context = (void *)__atomic_fetch_add(&made, 1, __ATOMIC_SEQ_CST);
    LOG("{\"call\": \"context\", \"made\": %ld}", (long)*context);
    return cuCtxPushCurrent_v2(*context);
}

int cuCtxDestroy_v2(void *context) {
    if (!context || context == PRIMARY)
        return INVALID_VALUE;
    if (depth && contexts[depth - 1] == context)
        depth--;
    LOG("{\"call\": \"context\", \"destroyed\": %ld}", (long)context);
    return OK;
}

int cuCtxGetDevice(int *device) {
    *device = 0;
    return depth ? OK : NO_CONTEXT;
}

int cuEventCreate(void **event, unsigned flags) {
    *event = malloc(1);
    return OK;
}

int cuEventDestroy_v2(void *event) {
    free(event);
    return OK;
}

int cuEventRecord(void *event, void *stream) {
    return OK;
}

int cuEventSynchronize(void *event) {
    return OK;
}

int cuGetErrorName(int status, const char **name) {
    *name = "CUDA_ERROR_STANDIN";
    return OK;
}

int cuGetErrorString(int status, const char **text) {
    *text = "the stand-in driver refuses";
    return OK;
}

/* Which blocks are allocated: a driver refuses to free what is not, and PyNvVideoCodec asks it to. */
enum { MAX_BLOCKS = 1024 };
static void *blocks[MAX_BLOCKS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int replace_block(void *old, void *new) {
    int found = 0;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < MAX_BLOCKS && !found; i++)
        if (blocks[i] == old) {
            blocks[i] = new;
            found = 1;
        }
    pthread_mutex_unlock(&lock);
    return found;
}

int cuMemAlloc_v2(device_pointer *pointer, size_t size) {
    void *block = calloc(1, size);
    *pointer = (device_pointer)block;
    return block && replace_block(NULL, block) ? OK : 2; /* out of memory */
}

int cuMemAllocAsync(device_pointer *pointer, size_t size, void *stream) {
    return cuMemAlloc_v2(pointer, size);
}

int cuMemAllocPitch_v2(device_pointer *pointer, size_t *pitch, size_t width, size_t height, unsigned element) {
    *pitch = (width + 511) & ~(size_t)511;
    return cuMemAlloc_v2(pointer, *pitch * height);
}

int cuMemFree_v2(device_pointer pointer) {
    if (!pointer)
        return OK;
    if (!replace_block((void *)pointer, NULL))
        return INVALID_VALUE;
    free((void *)pointer);
    return OK;
}

int cuMemFreeAsync(device_pointer pointer, void *stream) {
    return cuMemFree_v2(pointer);
}

int cuMemcpy2D_v2(const copy_2d *c) {
    const char *from = c->src_type == HOST_MEMORY ? c->src_host : (const char *)c->src_device;
    char *to = c->dst_type == HOST_MEMORY ? c->dst_host : (char *)c->dst_device;
    size_t from_pitch = c->src_pitch ? c->src_pitch : c->width_bytes;
    size_t to_pitch = c->dst_pitch ? c->dst_pitch : c->width_bytes;
    from += c->src_y * from_pitch + c->src_x;
    to += c->dst_y * to_pitch + c->dst_x;
    for (size_t y = 0; y < c->height; y++)
        memcpy(to + y * to_pitch, from + y * from_pitch, c->width_bytes);
    return OK;
}

int cuMemcpy2DAsync_v2(const copy_2d *c, void *stream) {
    return cuMemcpy2D_v2(c);
}

int cuMemcpyDtoH_v2(void *to, device_pointer from, size_t size) {
    memcpy(to, (void *)from, size);
    return OK;
}

int cuMemcpyDtoHAsync_v2(void *to, device_pointer from, size_t size, void *stream) {
    return cuMemcpyDtoH_v2(to, from, size);
}

int cuMemcpyHtoD_v2(device_pointer to, const void *from, size_t size) {
    memcpy((void *)to, from, size);
    return OK;
}

int cuPointerGetAttribute(void *data, int attribute, device_pointer pointer) {
    if (attribute == 1) /* context */
        *(void **)data = PRIMARY;
    else
        *(int *)data = attribute == 2 ? 2 : 0; /* memory type: device; device ordinal: 0 */
    return OK;
}

int cuStreamCreate(void **stream, unsigned flags) {
    *stream = malloc(1);
    return OK;
}

int cuStreamDestroy_v2(void *stream) {
    free(stream);
    return OK;
}

int cuStreamGetCtx(void *stream, void **context) {
    *context = PRIMARY;
    return OK;
}

int cuStreamSynchronize(void *stream) {
    return OK;
}

int cuStreamWaitEvent(void *stream, void *event, unsigned flags) {
    return OK;
}
