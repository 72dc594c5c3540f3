/* CHECK(condition) prints what failed and ends the test. */
#ifndef CHECK_H
#define CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                        \
    do {                                                                        \
        if (!(condition)) {                                                     \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);     \
            exit(1);                                                            \
        }                                                                       \
    } while (0)

/* A small generator of its own (xorshift), so that every run sees the same numbers. */
static uint64_t random_state = 88172645463325252ULL;

static inline uint64_t random_bits(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static inline float random_float(void) { return (float)(random_bits() >> 40) * 0x1p-23f - 1.0f; }

#endif
