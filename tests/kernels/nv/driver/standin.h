/* What the three libraries of the stand-in driver share: a log of calls, and switches in the environment.
 *
 * NV_LOG       file that gets one JSON object per call worth checking
 * Every other switch is described where it is read.
 */
#ifndef STANDIN_H
#define STANDIN_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A CUresult and an NVENCSTATUS that mean success. */
enum { OK = 0 };

#define LOG(...)                                                                                                       \
    do {                                                                                                               \
        const char *path_ = getenv("NV_LOG");                                                                          \
        FILE *file_ = path_ ? fopen(path_, "a") : NULL;                                                                \
        if (file_) {                                                                                                   \
            fprintf(file_, __VA_ARGS__);                                                                               \
            fputc('\n', file_);                                                                                        \
            fclose(file_);                                                                                             \
        }                                                                                                              \
    } while (0)

static inline long number(const char *name, long otherwise) {
    const char *text = getenv(name);
    return text && *text ? strtol(text, NULL, 0) : otherwise;
}

/* Whether the comma-separated list in variable `name` holds `word`. */
static inline int listed(const char *name, const char *word) {
    const char *text = getenv(name);
    size_t length = strlen(word);
    while (text && *text) {
        const char *comma = strchr(text, ',');
        size_t part = comma ? (size_t)(comma - text) : strlen(text);
        if (part == length && !strncmp(text, word, part))
            return 1;
        text = comma ? comma + 1 : NULL;
    }
    return 0;
}

static inline int listed_number(const char *name, long value) {
    char word[24];
    snprintf(word, sizeof word, "%ld", value);
    return listed(name, word);
}

#endif
