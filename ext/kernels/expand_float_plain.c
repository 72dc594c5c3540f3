/* Dense float32 rows, one weight at a time: the reference for expand_float_vector.c. */
#include "lanes.h"

#define ROW(kind)                                                                       \
    static void row_##kind(const ns_matrix *m, int64_t row, float scale, float *out) {  \
        const uint8_t *p = m->values + m->offsets[row] * SIZE_##kind;                   \
        memset(out, 0, (size_t)m->cols * sizeof *out);                                  \
        for (int64_t i = 0; i < m->words; i++) {                                        \
            uint64_t word = ns_word(m->bitmap, row * m->words + i);                     \
            for (; word; word &= word - 1, p += SIZE_##kind) {                          \
                int64_t j = 64 * i + __builtin_ctzll(word);                             \
                if (j < m->cols) out[j] = one_##kind(p) * scale;                        \
            }                                                                           \
        }                                                                               \
    }

ROW(fp32)
ROW(bf16)
ROW(fp16)
ROW(int8)

int NS_NAME(expand_float)(const ns_matrix *m, float *out, int64_t first, int64_t last) {
    int failed = 0;
    for (int64_t r = first; r < last; r++, out += m->cols) {
        float scale = m->scales ? m->scales[r] : 1.0f;
        if (!ns_row_agrees(m, r)) {
            failed = 1;
            continue;
        }
        switch (m->kind) {
        case NS_FP32: row_fp32(m, r, scale, out); break;
        case NS_BF16: row_bf16(m, r, scale, out); break;
        case NS_FP16: row_fp16(m, r, scale, out); break;
        default: row_int8(m, r, scale, out); break;
        }
        if (m->group) ns_scale_groups(m, r, out);
    }
    return failed;
}
