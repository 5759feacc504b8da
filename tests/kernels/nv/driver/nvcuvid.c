/* libnvcuvid.so.1: a parser that sorts by time, and a decoder that looks its pictures up in a file.
 *
 * NV_PICTURES     the pictures: int32 width, height, chroma (1 4:2:0, 2 4:2:2, 3 4:4:4), depth, count, 0; then for each
 * an int64 time and its surface as NVDEC lays it out, rows tight: interleaved chroma, or three planes NV_DELAY pictures
 * that wait to be sorted (4) NV_DROP         packets, counted from 0, whose picture is never shown NV_REPEAT packets
 * whose picture is shown twice NV_PARSE_FAIL   a packet at which parsing fails (-1) NV_UNSUPPORTED  what the device
 * cannot decode, as codec:chroma:depth in NVIDIA's numbers NV_MAX_SIDE     the largest width and height it decodes
 * (4096) NV_NVDECS       its decode engines (2)
 */
#include "standin.h"

enum { FAILURE = 999, END_OF_STREAM = 1, SURFACES = 32, MAX_WAITING = 64 };

typedef struct {
    int codec, chroma;
    unsigned depth_minus_8, reserved1[3];
    unsigned char supported, engines;
    unsigned short output_formats;
    unsigned max_width, max_height, max_macroblocks;
    unsigned short min_width, min_height;
    unsigned char histogram, counter_bits;
    unsigned short histogram_bins;
    unsigned reserved3[10];
} decode_caps;

typedef struct {
    int codec;
    unsigned rate_num, rate_den;
    unsigned char progressive, luma_depth_minus_8, chroma_depth_minus_8, surfaces;
    unsigned coded_width, coded_height;
    int left, top, right, bottom;
    int chroma;
    unsigned bitrate;
    int aspect_x, aspect_y;
    unsigned char signal[4];
    unsigned header_bytes;
} video_format;

typedef struct {
    int index, progressive, top_first, repeat_first;
    long long time;
} shown_picture;

typedef struct {
    int width_mbs, height_mbs, index;
    unsigned char rest[4400];
} decoded_picture;

typedef struct {
    int codec;
    unsigned surfaces, clock_rate, error_threshold, delay, annex_b, reserved1[4];
    void *user;
    int (*on_sequence)(void *, video_format *);
    int (*on_decode)(void *, decoded_picture *);
    int (*on_display)(void *, shown_picture *);
} parser_params;

typedef struct {
    unsigned long flags, size;
    const unsigned char *data;
    long long time;
} source_packet;

typedef struct {
    parser_params params;
    int started, packets, waiting, delay;
    long long times[MAX_WAITING];
    int repeats[MAX_WAITING];
} parser;

typedef struct {
    int32_t width, height, chroma, depth, count, zero;
} picture_header;

static picture_header header;
static unsigned char *pictures;
static long long shown_time;
static unsigned char *surface;

static size_t row_bytes(void) {
    /* NVDEC makes widths even. */
    return ((size_t)header.width + 1) / 2 * 2 * (header.depth > 8 ? 2 : 1);
}

static size_t chroma_rows(void) {
    size_t rows = (size_t)header.height;
    return header.chroma == 3 ? 2 * rows : header.chroma == 2 ? rows : (rows + 1) / 2;
}

static size_t picture_bytes(void) {
    return sizeof(int64_t) + row_bytes() * (header.height + chroma_rows());
}

static int load_pictures(void) {
    FILE *file = fopen(getenv("NV_PICTURES") ? getenv("NV_PICTURES") : "", "rb");
    if (!file)
        return 0;
    int complete = fread(&header, sizeof header, 1, file) == 1;
    pictures = complete ? malloc(picture_bytes() * (size_t)header.count) : NULL;
    complete = pictures && fread(pictures, picture_bytes(), (size_t)header.count, file) == (size_t)header.count;
    fclose(file);
    return complete;
}

static const unsigned char *picture_at(long long time) {
    for (int i = 0; i < header.count; i++) {
        unsigned char *record = pictures + picture_bytes() * (size_t)i;
        int64_t its_time;
        memcpy(&its_time, record, sizeof its_time);
        if (its_time == time)
            return record + sizeof its_time;
    }
    return NULL;
}

int cuvidGetDecoderCaps(decode_caps *caps) {
    char asked[40];
    snprintf(asked, sizeof asked, "%d:%d:%u", caps->codec, caps->chroma, caps->depth_minus_8 + 8);
    long side = number("NV_MAX_SIDE", 4096);
    caps->supported = !listed("NV_UNSUPPORTED", asked);
    caps->engines = (unsigned char)number("NV_NVDECS", 2);
    caps->output_formats = 0x3f;
    caps->max_width = caps->max_height = (unsigned)side;
    caps->max_macroblocks = (unsigned)(side / 16 * side / 16);
    caps->min_width = 48;
    caps->min_height = 16;
    return OK;
}

int cuvidCreateDecoder(void **decoder, void *info) {
    LOG("{\"call\": \"decoder\"}");
    *decoder = (void *)1;
    return OK;
}

int cuvidDestroyDecoder(void *decoder) {
    return OK;
}

int cuvidDecodePicture(void *decoder, void *picture) {
    return OK;
}

int cuvidGetDecodeStatus(void *decoder, int index, int *status) {
    *status = 2; /* success */
    return OK;
}

int cuvidReconfigureDecoder(void *decoder, void *info) {
    return OK;
}

int cuvidMapVideoFrame64(void *decoder, int index, unsigned long long *pointer, unsigned *pitch, void *params) {
    const unsigned char *from = picture_at(shown_time);
    size_t row = row_bytes(), luma_rows = (size_t)header.height, chroma = chroma_rows();
    size_t padded_rows = (luma_rows + 1) & ~(size_t)1; /* chroma starts at an even row */
    *pitch = (unsigned)((row + 511) & ~(size_t)511);
    free(surface);
    surface = malloc(*pitch * (padded_rows + chroma + 2));
    memset(surface, 0xA5, *pitch * (padded_rows + chroma + 2));
    *pointer = (unsigned long long)surface;
    if (!from)
        return OK;
    for (size_t y = 0; y < luma_rows; y++)
        memcpy(surface + y * *pitch, from + y * row, row);
    for (size_t y = 0; y < chroma; y++) {
        size_t plane = header.chroma == 3 ? y / luma_rows : 0, line = header.chroma == 3 ? y % luma_rows : y;
        memcpy(surface + ((plane + 1) * padded_rows + line) * *pitch, from + (luma_rows + y) * row, row);
    }
    return OK;
}

int cuvidUnmapVideoFrame64(void *decoder, unsigned long long pointer) {
    return OK;
}

int cuvidCtxLockCreate(void **lock, void *context) {
    *lock = (void *)1;
    return OK;
}

int cuvidCtxLockDestroy(void *lock) {
    return OK;
}

int cuvidCtxLock(void *lock, unsigned flags) {
    return OK;
}

int cuvidCtxUnlock(void *lock, unsigned flags) {
    return OK;
}

int cuvidCreateVideoParser(void **out, parser_params *params) {
    parser *made = calloc(1, sizeof *made);
    made->params = *params;
    made->delay = (int)number("NV_DELAY", 4);
    *out = made;
    return OK;
}

int cuvidDestroyVideoParser(void *pointer) {
    free(pointer);
    return OK;
}

static void show_first(parser *p) {
    int times = 1 + p->repeats[0];
    shown_time = p->times[0];
    p->waiting--;
    memmove(p->times, p->times + 1, sizeof *p->times * (size_t)p->waiting);
    memmove(p->repeats, p->repeats + 1, sizeof *p->repeats * (size_t)p->waiting);
    for (; times; times--) {
        shown_picture picture = {.progressive = 1, .time = shown_time};
        p->params.on_display(p->params.user, &picture);
    }
}

static int start(parser *p) {
    if (!load_pictures())
        return FAILURE;
    video_format format = {
        .codec = p->params.codec,
        .rate_num = 25,
        .rate_den = 1,
        .progressive = 1,
        .luma_depth_minus_8 = (unsigned char)(header.depth - 8),
        .chroma_depth_minus_8 = (unsigned char)(header.depth - 8),
        .surfaces = 8,
        .coded_width = ((unsigned)header.width + 15) & ~15u,
        .coded_height = ((unsigned)header.height + 15) & ~15u,
        .right = header.width,
        .bottom = header.height,
        .chroma = header.chroma,
    };
    p->started = 1;
    return p->params.on_sequence(p->params.user, &format) ? OK : FAILURE;
}

static void wait_for_its_turn(parser *p, long long time, int repeats) {
    int i = p->waiting++;
    for (; i > 0 && p->times[i - 1] > time; i--) {
        p->times[i] = p->times[i - 1];
        p->repeats[i] = p->repeats[i - 1];
    }
    p->times[i] = time;
    p->repeats[i] = repeats;
}

int cuvidParseVideoData(parser *p, source_packet *packet) {
    if (packet->size) {
        int index = p->packets++;
        const unsigned char *d = packet->data;
        LOG("{\"call\": \"packet\", \"time\": %lld, \"size\": %lu, \"starts\": [%d, %d, %d, %d, %d]}", packet->time,
            packet->size, d[0], d[1], d[2], d[3], d[4]);
        if (index == number("NV_PARSE_FAIL", -1))
            return FAILURE;
        if (!p->started && start(p) != OK)
            return FAILURE;
        decoded_picture picture = {.index = index % 8};
        p->params.on_decode(p->params.user, &picture);
        if (!listed_number("NV_DROP", index))
            wait_for_its_turn(p, packet->time, listed_number("NV_REPEAT", index));
        while (p->waiting > p->delay)
            show_first(p);
    }
    if (packet->flags & END_OF_STREAM)
        while (p->waiting)
            show_first(p);
    return OK;
}

/* Looked up when the library is loaded, and never called. */
#define UNUSED(name)                                                                                                   \
    int name(void) {                                                                                                   \
        return FAILURE;                                                                                                \
    }
UNUSED(cuvidCreateVideoSource)
UNUSED(cuvidCreateVideoSourceW)
UNUSED(cuvidDestroyVideoSource)
UNUSED(cuvidSetVideoSourceState)
UNUSED(cuvidGetVideoSourceState)
UNUSED(cuvidGetSourceVideoFormat)
UNUSED(cuvidGetSourceAudioFormat)
