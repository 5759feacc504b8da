/* H.264 without loss: every macroblock is I_PCM (ITU-T H.264, 7.3.5 and Annex B), so any decoder gives back the
 * samples that went in, and the order of coding shows only in the headers. */
#ifndef PCM_H
#define PCM_H

#include <stdint.h>

/* Begin a sequence. `depth` is 8 or 10; `full_chroma` is 4:4:4 instead of 4:2:0. */
void pcm_open(uint32_t width, uint32_t height, int depth, int full_chroma, int reorders);

/* Parameter sets with start codes into `out`; returns their size. */
uint32_t pcm_headers(uint8_t *out);

/* Keep the samples of a surface: NV12, P010 (codes in the high bits), or three planes. `order` counts pictures shown
 * since the last IDR picture. Returns the size of what is at `*kept`. */
uint32_t pcm_encode(const void *surface, uint32_t pitch, int idr, int order, uint8_t **kept);

/* The access unit of a kept picture, in coding order. Frees what was kept. */
uint32_t pcm_order(uint8_t *kept, uint32_t size, int idr, int is_reference, uint8_t **unit);

#endif
