/* int4 values between bytes and halves of bytes. Loops that every level's compiler turns into its own
 * vectors; done once a matrix. */
#include "kernels.h"

void NS_NAME(widen)(const uint8_t *stored, int8_t *to, int64_t first, int64_t last) {
    int64_t i = first;
    if (i < last && i % 2) {
        *to++ = (int8_t)((int8_t)stored[i / 2] >> 4);
        i++;
    }
    stored += i / 2;
    for (; i + 1 < last; i += 2, to += 2) {
        uint8_t both = *stored++;
        to[0] = (int8_t)((int8_t)(uint8_t)(both << 4) >> 4);
        to[1] = (int8_t)((int8_t)both >> 4);
    }
    if (i < last) *to = (int8_t)((int8_t)(uint8_t)(*stored << 4) >> 4);
}

static inline void put(const uint8_t *from, int count, int shift, uint8_t *to) {
    for (int i = 0; i < count; i++) to[i] |= (uint8_t)((from[i] & 15) << shift);
}

void NS_NAME(halve)(const uint64_t *masks, int64_t words, const int64_t *offsets,
                    const uint8_t *from, const int64_t *halved, uint8_t *to, int64_t first,
                    int64_t last) {
    for (int64_t g = first; g < last; g++) {
        const uint8_t *p = from + offsets[g];
        uint8_t *lower = to + halved[g], *upper = lower;
        memset(lower, 0, (size_t)(halved[g + 1] - halved[g]));
        for (int64_t i = 0; i < words; i += 2) { /* an even number, always */
            int even = masks ? __builtin_popcountll(masks[g * words + i]) : 64;
            int odd = masks ? __builtin_popcountll(masks[g * words + i + 1]) : 64;
            put(p, even, 0, lower);
            put(p + even, odd, 4, upper);
            p += even + odd;
            lower += even;
            upper += odd;
        }
    }
}
