#include "pcm.h"

#include <stdlib.h>
#include <string.h>

enum { MACROBLOCK = 16, I_PCM = 25, NAL_SLICE = 1, NAL_IDR = 5, NAL_SPS = 7, NAL_PPS = 8, HEADER_BYTES = 4096 };

static uint32_t width, height, depth, full_chroma, reorders, frame_number;

typedef struct {
    uint8_t *data;
    uint32_t bits;
} writer;

static void put(writer *w, uint32_t value, int bits) {
    for (int i = bits - 1; i >= 0; i--, w->bits++) {
        uint8_t *byte = w->data + w->bits / 8;
        if (w->bits % 8 == 0)
            *byte = 0;
        *byte |= (uint8_t)((value >> i & 1) << (7 - w->bits % 8));
    }
}

/* ue(v): Exp-Golomb, 9.1. */
static void put_ue(writer *w, uint32_t value) {
    int length = 0;
    while ((value + 1) >> (length + 1))
        length++;
    put(w, 0, length);
    put(w, value + 1, length + 1);
}

static void put_trailing(writer *w) {
    put(w, 1, 1);
    while (w->bits % 8)
        put(w, 0, 1);
}

/* Start code, header and payload, with emulation prevention (7.4.1). */
static uint32_t put_nal(uint8_t *out, int reference, int type, const writer *w) {
    uint8_t *at = out;
    memcpy(at, "\0\0\0\1", 4);
    at += 4;
    *at++ = (uint8_t)(reference << 5 | type);
    for (uint32_t i = 0, zeros = 0; i < w->bits / 8; i++) {
        uint8_t byte = w->data[i];
        if (zeros == 2 && byte <= 3) {
            *at++ = 3;
            zeros = 0;
        }
        zeros = byte ? 0 : zeros + 1;
        *at++ = byte;
    }
    return (uint32_t)(at - out);
}

static uint32_t columns(void) {
    return (width + MACROBLOCK - 1) / MACROBLOCK;
}

static uint32_t rows(void) {
    return (height + MACROBLOCK - 1) / MACROBLOCK;
}

void pcm_open(uint32_t width_, uint32_t height_, int depth_, int full_chroma_, int reorders_) {
    width = width_;
    height = height_;
    depth = (uint32_t)depth_;
    full_chroma = (uint32_t)full_chroma_;
    reorders = (uint32_t)reorders_;
}

/* 7.3.2.1.1 */
static void write_sps(writer *w) {
    uint32_t unit = full_chroma ? 1 : 2;
    put(w, full_chroma ? 244 : depth > 8 ? 110 : 100, 8);
    put(w, 0, 8);
    put(w, 51, 8);
    put_ue(w, 0);
    put_ue(w, full_chroma ? 3 : 1);
    if (full_chroma)
        put(w, 0, 1);
    put_ue(w, depth - 8);
    put_ue(w, depth - 8);
    put(w, 0, 2);  /* no transform bypass, no scaling matrix */
    put_ue(w, 12); /* frame_num has 16 bits */
    put_ue(w, 0);
    put_ue(w, 12); /* and so has the order count */
    put_ue(w, 2);
    put(w, 0, 1);
    put_ue(w, columns() - 1);
    put_ue(w, rows() - 1);
    put(w, 3, 2); /* frames only, direct 8x8 */
    put(w, 1, 1);
    put_ue(w, 0);
    put_ue(w, (columns() * MACROBLOCK - width) / unit);
    put_ue(w, 0);
    put_ue(w, (rows() * MACROBLOCK - height) / unit);
    put(w, 1, 1); /* VUI, E.1.1: only the limits of reordering */
    put(w, 0, 8); /* no shape, overscan, signal, chroma location, timing, HRD twice, picture structure */
    put(w, 1, 1); /* limits */
    put(w, 1, 1);
    put_ue(w, 0);
    put_ue(w, 0);
    put_ue(w, 16);
    put_ue(w, 16);
    put_ue(w, reorders);
    put_ue(w, 2);
    put_trailing(w);
}

/* 7.3.2.2: CAVLC, deblocking under control of the slice. */
static void write_pps(writer *w) {
    put_ue(w, 0);
    put_ue(w, 0);
    put(w, 0, 2);
    put_ue(w, 0);
    put_ue(w, 0);
    put_ue(w, 0);
    put(w, 0, 3);
    put_ue(w, 0);
    put_ue(w, 0);
    put_ue(w, 0);
    put(w, 1, 1);
    put(w, 0, 2);
    put_trailing(w);
}

uint32_t pcm_headers(uint8_t *out) {
    uint8_t bytes[256];
    writer sps = {.data = bytes}, pps = {.data = bytes};
    write_sps(&sps);
    uint32_t size = put_nal(out, 3, NAL_SPS, &sps);
    write_pps(&pps);
    return size + put_nal(out + size, 3, NAL_PPS, &pps);
}

static uint32_t chroma_width(void) {
    return full_chroma ? width : (width + 1) / 2;
}

static uint32_t chroma_height(void) {
    return full_chroma ? height : (height + 1) / 2;
}

static uint16_t sample(const uint8_t *row, uint32_t x) {
    uint16_t value = row[x];
    if (depth > 8)
        memcpy(&value, row + 2 * x, sizeof value);
    return depth > 8 ? (uint16_t)(value >> (16 - depth)) : value;
}

uint32_t pcm_encode(const void *surface, uint32_t pitch, int idr, int order, uint8_t **kept) {
    uint32_t luma = width * height, chroma = chroma_width() * chroma_height();
    uint32_t size = (uint32_t)sizeof(uint16_t) * (luma + 2 * chroma + 1);
    uint16_t *at = malloc(size);
    const uint8_t *base = surface, *under = base + (size_t)pitch * height;
    *kept = (uint8_t *)at;
    *at++ = (uint16_t)order;
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++)
            *at++ = sample(base + (size_t)y * pitch, x);
    for (uint32_t plane = 0; plane < 2; plane++)
        for (uint32_t y = 0; y < chroma_height(); y++)
            for (uint32_t x = 0; x < chroma_width(); x++)
                *at++ = full_chroma ? sample(under + ((size_t)plane * height + y) * pitch, x)
                                    : sample(under + (size_t)y * pitch, 2 * x + plane);
    return size;
}

/* One plane's part of a macroblock, its last rows and columns repeated beyond the picture. */
static void put_block(writer *w, const uint16_t *plane, uint32_t across, uint32_t down, uint32_t x0, uint32_t y0,
                      uint32_t side) {
    for (uint32_t y = y0; y < y0 + side; y++)
        for (uint32_t x = x0; x < x0 + side; x++)
            put(w, plane[(y < down ? y : down - 1) * across + (x < across ? x : across - 1)], (int)depth);
}

/* 7.3.3 */
static void write_slice_header(writer *w, int idr, int is_reference, uint32_t order) {
    put_ue(w, 0);
    put_ue(w, 7); /* only I slices */
    put_ue(w, 0);
    put(w, frame_number, 16);
    if (idr)
        put_ue(w, 0);
    put(w, 2 * order, 16);
    if (idr)
        put(w, 0, 2);
    else if (is_reference)
        put(w, 0, 1);
    put_ue(w, 0); /* QP as the PPS has it */
    put_ue(w, 1); /* no deblocking */
}

uint32_t pcm_order(uint8_t *kept, uint32_t size, int idr, int is_reference, uint8_t **unit) {
    const uint16_t *samples = (const uint16_t *)kept;
    const uint16_t *planes[3] = {samples + 1, samples + 1 + width * height};
    planes[2] = planes[1] + chroma_width() * chroma_height();
    uint32_t chroma_side = full_chroma ? MACROBLOCK : MACROBLOCK / 2;
    size_t room = (size_t)columns() * rows() * (3 * 256 * 2 + 16) + HEADER_BYTES;
    writer w = {.data = malloc(room)};
    if (idr)
        frame_number = 0;
    write_slice_header(&w, idr, is_reference, samples[0]);
    for (uint32_t y = 0; y < rows(); y++)
        for (uint32_t x = 0; x < columns(); x++) {
            put_ue(&w, I_PCM);
            while (w.bits % 8)
                put(&w, 0, 1);
            put_block(&w, planes[0], width, height, x * MACROBLOCK, y * MACROBLOCK, MACROBLOCK);
            for (int plane = 1; plane < 3; plane++)
                put_block(&w, planes[plane], chroma_width(), chroma_height(), x * chroma_side, y * chroma_side,
                          chroma_side);
        }
    put_trailing(&w);
    *unit = malloc(2 * room);
    uint32_t written = idr ? pcm_headers(*unit) : 0;
    written += put_nal(*unit + written, is_reference ? 3 : 0, idr ? NAL_IDR : NAL_SLICE, &w);
    if (is_reference)
        frame_number = (frame_number + 1) & 0xffff;
    free(w.data);
    free(kept);
    return written;
}
