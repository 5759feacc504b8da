/* libnvidia-encode.so.1: the encoder's interface, with NVENC's order of pictures.
 *
 * H.264 comes from `pcm.c`, which codes every picture without loss, so that what was submitted can be compared with
 * what any decoder makes of the output. HEVC and AV1 are read from a file.
 *
 * NV_API           the interface version it speaks, major * 16 + minor (0xD0)
 * NV_ENCODERS      codecs it encodes, of h264, hevc and av1 (all); `none` is a device without NVENC
 * NV_OPEN          what opening a session returns (0)
 * NV_MAX_BFRAMES   (4)
 * NV_ENCODE_BITS   deepest samples it encodes (10)
 * NV_H264_BITS     and those of H.264 (8)
 * NV_ENCODE_444    whether it encodes 4:4:4 (1)
 * NV_MAX_SIDE      the largest width and height it encodes (4096)
 * NV_NVENCS        its encode engines (1)
 * NV_STREAM        the pictures of HEVC or AV1 in coding order, each an int32 size and its bytes
 * NV_HEADERS       and the headers that NvEncGetSequenceParams gives for them
 *
 * Layouts of the structures: NVENC API 12.1 to 13.0, whose fields used here lie at the same places.
 */
#include "pcm.h"
#include "standin.h"

enum { NO_DEVICE = 1, UNSUPPORTED = 2, INVALID_PARAM = 8, NEED_MORE_INPUT = 17 };
enum {
    CAP_MAX_BFRAMES = 0,
    CAP_WIDTH_MAX = 16,
    CAP_HEIGHT_MAX = 17,
    CAP_YUV444 = 33,
    CAP_10_BIT = 39,
    CAP_BFRAME_REF_MODE = 43,
    CAP_WIDTH_MIN = 45,
    CAP_HEIGHT_MIN = 46,
    CAP_ENGINES = 49
};
enum { PIC_FORCE_IDR = 2, PIC_END_OF_STREAM = 8 };
enum { TYPE_P = 0, TYPE_B = 1, TYPE_I = 2, TYPE_IDR = 3 };
enum { H264, HEVC, AV1, CODECS, MAX_PICTURES = 4096, FUNCTIONS = 41 };

typedef struct {
    uint32_t a;
    uint16_t b, c;
    uint8_t d[8];
} guid;

static const guid CODEC[CODECS] = {
    {0x6bc82762, 0x4e63, 0x4ca4, {0xaa, 0x85, 0x1e, 0x50, 0xf3, 0x21, 0xf6, 0xbf}},
    {0x790cdc88, 0x4522, 0x4d7b, {0x94, 0x25, 0xbd, 0xa9, 0x97, 0x5f, 0x76, 0x03}},
    {0x0a352289, 0x0aa7, 0x4759, {0x86, 0x2d, 0x5d, 0x15, 0xcd, 0x16, 0xd2, 0x54}},
};
static const char *const CODEC_NAME[CODECS] = {"h264", "hevc", "av1"};
/* First words of the GUIDs of presets P1 to P7. */
static const uint32_t PRESET[] = {0xfc0a8d3e, 0xf581cfb8, 0x36850110, 0x90a7b826, 0x21c6e6b4, 0x8e75c279, 0x84848c12};

typedef struct {
    uint32_t p, b, i;
} qp;

typedef struct {
    uint32_t version;
    guid profile;
    uint32_t gop;
    int32_t p_interval;
    uint32_t mono, field_mode, mv_precision;
    struct {
        uint32_t version, mode;
        qp constant;
        uint32_t average_rate, max_rate, buffer, delay, flags;
        qp min, max, first;
        uint32_t layer_mask;
        uint8_t layer_qp[8], quality, quality_fraction;
        uint16_t lookahead;
    } rate;
} config;

typedef struct {
    uint32_t version;
    guid codec, preset;
    uint32_t width, height, dar_width, dar_height, rate_num, rate_den, async, decides_types, flags, private_size;
    void *private;
    config *config;
} init_params;

typedef struct {
    uint32_t version, width, height, pitch, flags, index;
    uint64_t time, duration;
    void *input, *output, *event;
    uint32_t format, structure, type;
} picture_params;

typedef struct {
    uint32_t version, bits;
    void *output;
    uint32_t *slices;
    uint32_t index, status, slice_count, size;
    uint64_t time, duration;
    void *data;
    uint32_t type, structure;
} lock_params;

typedef struct {
    uint32_t version, kind, width, height, pitch, sub;
    void *resource, *registered;
    uint32_t format, usage;
} register_params;

typedef struct {
    uint32_t version, sub;
    void *resource, *registered, *mapped;
    uint32_t format;
} map_params;

typedef struct {
    uint32_t version, size, heap, reserved;
    void *buffer;
} buffer_params;

typedef struct {
    uint32_t version, asked;
} caps_param;

typedef struct {
    uint32_t version, size, sps_id, pps_id;
    void *buffer;
    uint32_t *written;
} sequence_params;

typedef struct {
    uint64_t time;
    int type;
    uint8_t *data;
    uint32_t size;
} picture;

static int codec, p_interval, gop, submitted, since_idr, waiting, out_head, out_tail;
static picture queue[MAX_PICTURES], held[64];
static register_params input;
static FILE *stream;

static int codec_of(guid id) {
    for (int i = 0; i < CODECS; i++)
        if (!memcmp(&CODEC[i], &id, sizeof id))
            return i;
    return -1;
}

static int has_encoder(int which) {
    return !getenv("NV_ENCODERS") || listed("NV_ENCODERS", CODEC_NAME[which]);
}

static int open_session(void *params, void **session) {
    *session = (void *)1;
    if (listed("NV_ENCODERS", "none"))
        return UNSUPPORTED;
    return (int)number("NV_OPEN", OK);
}

static int codec_count(void *session, uint32_t *count) {
    *count = 0;
    for (int i = 0; i < CODECS; i++)
        *count += (uint32_t)has_encoder(i);
    return OK;
}

static int codecs(void *session, guid *ids, uint32_t room, uint32_t *count) {
    *count = 0;
    for (int i = 0; i < CODECS && *count < room; i++)
        if (has_encoder(i))
            ids[(*count)++] = CODEC[i];
    return OK;
}

static int no_entries(void *session, guid id, uint32_t *count) {
    *count = 0;
    return OK;
}

static int preset_count(void *session, guid id, uint32_t *count) {
    *count = 7;
    return OK;
}

static int presets(void *session, guid id, guid *out, uint32_t room, uint32_t *count) {
    for (*count = 0; *count < 7 && *count < room; ++*count)
        out[*count] = (guid){.a = PRESET[*count]};
    return OK;
}

static int profiles(void *session, guid id, guid *out, uint32_t room, uint32_t *count) {
    return no_entries(session, id, count);
}

static int caps(void *session, guid id, caps_param *param, int *value) {
    if (!has_encoder(codec_of(id)))
        return INVALID_PARAM;
    switch (param->asked) {
    case CAP_MAX_BFRAMES:
        *value = (int)number("NV_MAX_BFRAMES", 4);
        break;
    case CAP_WIDTH_MAX:
    case CAP_HEIGHT_MAX:
        *value = (int)number("NV_MAX_SIDE", 4096);
        break;
    case CAP_WIDTH_MIN:
    case CAP_HEIGHT_MIN:
        *value = 33;
        break;
    case CAP_YUV444:
        *value = (int)number("NV_ENCODE_444", 1) && codec_of(id) != AV1;
        break;
    case CAP_10_BIT:
        *value = (codec_of(id) == H264 ? number("NV_H264_BITS", 8) : number("NV_ENCODE_BITS", 10)) > 8;
        break;
    case CAP_ENGINES:
        *value = (int)number("NV_NVENCS", 1);
        break;
    case CAP_BFRAME_REF_MODE:
        *value = 2;
        break;
    default:
        *value = 1;
    }
    return OK;
}

/* Values that no caller would choose, so that the log shows what the caller chose. */
static int preset_config_ex(void *session, guid id, guid preset, int tuning, void *out) {
    config *preset_config = (config *)((char *)out + 8);
    preset_config->gop = 77;
    preset_config->p_interval = 5;
    preset_config->rate.mode = 1;
    preset_config->rate.average_rate = 1111111;
    preset_config->rate.max_rate = 2222222;
    return OK;
}

static int preset_config(void *session, guid id, guid preset, void *out) {
    return preset_config_ex(session, id, preset, 0, out);
}

static int initialize(void *session, init_params *params) {
    config *c = params->config;
    int preset = 0;
    while (preset < 7 && PRESET[preset] != params->preset.a)
        preset++;
    codec = codec_of(params->codec);
    if (!has_encoder(codec))
        return INVALID_PARAM;
    gop = (int)c->gop;
    p_interval = c->p_interval;
    submitted = waiting = out_head = out_tail = since_idr = 0;
    if (getenv("NV_STREAM") && !stream)
        stream = fopen(getenv("NV_STREAM"), "rb");
    LOG("{\"call\": \"encoder\", \"codec\": \"%s\", \"preset\": %d, \"width\": %u, \"height\": %u, \"rate\": [%u, %u], "
        "\"gop\": %d, \"p_interval\": %d, \"mode\": %u, \"qp\": [%u, %u, %u], \"quality\": %u, \"average\": %u, "
        "\"max\": %u, \"lookahead\": %u}",
        CODEC_NAME[codec], preset + 1, params->width, params->height, params->rate_num, params->rate_den, gop,
        p_interval, c->rate.mode, c->rate.constant.p, c->rate.constant.b, c->rate.constant.i, c->rate.quality,
        c->rate.average_rate, c->rate.max_rate, c->rate.flags >> 5 & 1 ? c->rate.lookahead : 0u);
    return OK;
}

static int create_buffer(void *session, buffer_params *params) {
    params->buffer = malloc(1);
    return OK;
}

static int register_resource(void *session, register_params *params) {
    params->registered = params->resource;
    input = *params;
    pcm_open(params->width, params->height, params->format == 0x10000 || params->format == 0x100000 ? 10 : 8,
             params->format == 0x1000 || params->format == 0x100000, p_interval > 1);
    return OK;
}

static int map(void *session, map_params *params) {
    params->mapped = params->registered;
    params->format = input.format;
    return OK;
}

static int nothing(void) {
    return OK;
}

static int refuse(void) {
    return UNSUPPORTED;
}

static void emit(picture p, int type) {
    p.type = type;
    if (codec != H264 && stream) {
        int32_t size = 0;
        if (fread(&size, sizeof size, 1, stream) == 1) {
            p.data = malloc((size_t)size);
            p.size = (uint32_t)fread(p.data, 1, (size_t)size, stream);
        }
    }
    queue[out_tail++ % MAX_PICTURES] = p;
}

/* The last of the pictures held back is coded first, the ones before it refer to it. AV1 hides that order. */
static void emit_held(void) {
    if (waiting && codec != AV1)
        emit(held[waiting - 1], TYPE_P);
    for (int i = 0; i < waiting - (codec != AV1); i++)
        emit(held[i], codec == AV1 ? TYPE_P : TYPE_B);
    waiting = 0;
}

static int encode(void *session, picture_params *params) {
    if (params->flags & PIC_END_OF_STREAM) {
        emit_held();
        return OK;
    }
    int index = submitted++;
    int idr = !index || params->flags & PIC_FORCE_IDR || (gop > 0 && since_idr >= gop);
    picture p = {.time = params->time};
    LOG("{\"call\": \"picture\", \"flags\": %u, \"pitch\": %u, \"format\": %u}", params->flags, input.pitch,
        params->format);
    if (idr) {
        emit_held();
        since_idr = 0;
    }
    since_idr++;
    int closes = idr || waiting + 1 == p_interval;
    if (codec == H264)
        p.size = pcm_encode(params->input, input.pitch, idr, since_idr - 1, &p.data);
    if (idr) {
        emit(p, TYPE_IDR);
        return OK;
    }
    held[waiting++] = p;
    if (!closes)
        return NEED_MORE_INPUT;
    emit_held();
    return OK;
}

static int lock(void *session, lock_params *params) {
    picture *p = &queue[out_head++ % MAX_PICTURES];
    if (codec == H264)
        p->size = pcm_order(p->data, p->size, p->type == TYPE_IDR, p->type != TYPE_B, &p->data);
    params->data = p->data;
    params->size = p->size;
    params->time = p->time;
    params->type = (uint32_t)p->type;
    return OK;
}

static int sequence(void *session, sequence_params *params) {
    FILE *file = getenv("NV_HEADERS") ? fopen(getenv("NV_HEADERS"), "rb") : NULL;
    if (codec == H264)
        *params->written = pcm_headers(params->buffer);
    else
        *params->written = file ? (uint32_t)fread(params->buffer, 1, params->size, file) : 0;
    if (file)
        fclose(file);
    return OK;
}

static const char *last_error(void *session) {
    return "the stand-in driver refuses";
}

int NvEncodeAPIGetMaxSupportedVersion(uint32_t *version) {
    *version = (uint32_t)number("NV_API", 0xD0);
    return OK;
}

int NvEncodeAPICreateInstance(void *list) {
    void **f = (void **)((char *)list + 8);
    for (int i = 0; i < FUNCTIONS; i++)
        f[i] = (void *)nothing;
    f[0] = (void *)refuse;
    f[1] = (void *)codec_count;
    f[2] = (void *)no_entries;
    f[3] = (void *)profiles;
    f[4] = (void *)codecs;
    f[5] = (void *)no_entries;
    f[7] = (void *)caps;
    f[8] = (void *)preset_count;
    f[9] = (void *)presets;
    f[10] = (void *)preset_config;
    f[11] = (void *)initialize;
    f[14] = (void *)create_buffer;
    f[16] = (void *)encode;
    f[17] = (void *)lock;
    f[22] = (void *)sequence;
    f[25] = (void *)map;
    f[29] = (void *)open_session;
    f[30] = (void *)register_resource;
    f[37] = (void *)last_error;
    f[39] = (void *)preset_config_ex;
    return OK;
}
