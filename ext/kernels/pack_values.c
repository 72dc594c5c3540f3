/* Gather what stands under the mask. Done once a matrix, so plain C at every level. */
#include "kernels.h"

#define PACK(type, name)                                                                     \
    static void name(const type *weight, const ns_matrix *m, type *values, int64_t row) {    \
        type *to = values + m->offsets[row];                                                 \
        const type *from = weight + row * m->cols;                                           \
        for (int64_t i = 0; i < m->words; i++, from += 64) {                                 \
            uint64_t word = ns_word(m->bitmap, row * m->words + i);                          \
            for (; word; word &= word - 1) *to++ = from[__builtin_ctzll(word)];              \
        }                                                                                    \
    }

PACK(uint8_t, pack8)
PACK(uint16_t, pack16)
PACK(uint32_t, pack32)

/* Bits beyond the last column would read past the weights. */
static int pad_is_clear(const ns_matrix *m, int64_t row) {
    if (m->cols % 64 == 0) return 1;
    return ns_word(m->bitmap, (row + 1) * m->words - 1) >> (m->cols % 64) == 0;
}

int NS_NAME(pack_values)(const uint8_t *weight, int item, const ns_matrix *m, uint8_t *values,
                         int64_t first, int64_t last) {
    int failed = 0;
    for (int64_t r = first; r < last; r++) {
        if (!ns_row_agrees(m, r) || !pad_is_clear(m, r)) {
            failed = 1;
        } else if (item == 1) {
            pack8(weight, m, values, r);
        } else if (item == 2) {
            pack16((const uint16_t *)weight, m, (uint16_t *)values, r);
        } else {
            pack32((const uint32_t *)weight, m, (uint32_t *)values, r);
        }
    }
    return failed;
}
