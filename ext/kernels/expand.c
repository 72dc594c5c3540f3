/* Dense rows back from bitmap and values, in the values' own type. */
#include "lanes.h"

#define ROW(name, expand_n, item)                                                            \
    static void name(const ns_matrix *m, int64_t row, uint8_t *out) {                        \
        const uint8_t *p = m->values + m->offsets[row] * item;                               \
        int64_t full = m->cols / 64;                                                         \
        for (int64_t i = 0; i < full; i++, out += 64 * item) {                               \
            uint64_t word = ns_word(m->bitmap, row * m->words + i);                          \
            expand_n(p, word, out);                                                          \
            p += (int64_t)item * __builtin_popcountll(word);                                 \
        }                                                                                    \
        if (full < m->words) {                                                               \
            uint8_t rest[64 * item];                                                         \
            expand_n(p, ns_word(m->bitmap, row * m->words + full), rest);                    \
            memcpy(out, rest, (size_t)((m->cols - 64 * full) * item));                       \
        }                                                                                    \
    }

ROW(row_8, expand_8, 1)
ROW(row_16, expand_16, 2)
ROW(row_32, expand_32, 4)

int NS_NAME(expand)(const ns_matrix *m, int item, uint8_t *out, int64_t first, int64_t last) {
    int failed = 0;
    for (int64_t r = first; r < last; r++, out += m->cols * item) {
        if (!ns_row_agrees(m, r)) failed = 1;
        else if (item == 1) row_8(m, r, out);
        else if (item == 2) row_16(m, r, out);
        else row_32(m, r, out);
    }
    return failed;
}
