/* Masks to bits, bits to masks, bits to counts. */
#include "kernels.h"

/* Eight bytes to eight bits: a byte's high bit is set where the byte is nonzero, and one
 * multiplication brings the eight of them together. */
static inline uint64_t eight_bits(const uint8_t *bytes) {
    const uint64_t low7 = 0x7f7f7f7f7f7f7f7fULL;
    uint64_t x;
    memcpy(&x, bytes, 8);
    x = ((((x & low7) + low7) | x) & ~low7) >> 7;
    return (x * 0x0102040810204080ULL) >> 56;
}

void NS_NAME(pack_mask)(const uint8_t *mask, int64_t cols, int64_t words, uint8_t *bitmap,
                        int64_t first, int64_t last) {
    for (int64_t r = first; r < last; r++) {
        const uint8_t *row = mask + r * cols;
        for (int64_t i = 0; i < words; i++) {
            uint8_t rest[64] = {0};
            const uint8_t *from = row + 64 * i;
            uint64_t word = 0;
            if (cols - 64 * i < 64) from = memcpy(rest, from, (size_t)(cols - 64 * i));
            for (int k = 0; k < 8; k++) word |= eight_bits(from + 8 * k) << (8 * k);
            memcpy(bitmap + 8 * (r * words + i), &word, 8);
        }
    }
}

void NS_NAME(unpack_mask)(const uint8_t *bitmap, int64_t cols, int64_t words, uint8_t *mask,
                          int64_t first, int64_t last) {
    for (int64_t r = first; r < last; r++) {
        const uint8_t *row = bitmap + 8 * r * words;
        for (int64_t i = 0; i < cols / 8; i++) {
            /* bit k of the byte to byte k: copy, keep one bit in each, bring it down */
            uint64_t x = (row[i] * 0x0101010101010101ULL) & 0x8040201008040201ULL;
            x = ((x + 0x7f7f7f7f7f7f7f7fULL) | x) & 0x8080808080808080ULL;
            x >>= 7;
            memcpy(mask + r * cols + 8 * i, &x, 8);
        }
        for (int64_t j = cols / 8 * 8; j < cols; j++) {
            mask[r * cols + j] = (uint8_t)(row[j / 8] >> (j % 8) & 1);
        }
    }
}

void NS_NAME(count_rows)(const uint8_t *bitmap, int64_t words, int64_t *counts, int64_t first,
                         int64_t last) {
    for (int64_t r = first; r < last; r++) counts[r] = ns_row_count(bitmap, words, r);
}
