/* Dense float32 rows, LANES weights at a time. */
#include "lanes.h"

#define ROW(kind)                                                                            \
    INLINE void word_##kind(const uint8_t *p, uint64_t word, float scale, float *out) {      \
        for (int u = 0; u < 64 / LANES; u++) {                                               \
            const uint8_t *from = p + bytes_below(word, LANES * u, SIZE_##kind);             \
            vec w = lanes_##kind(from, (unsigned)(word >> (LANES * u)));                     \
            vec_store(out + LANES * u, vec_scale(w, scale));                                 \
        }                                                                                    \
    }                                                                                        \
    static void row_##kind(const ns_matrix *m, int64_t row, float scale, float *out) {       \
        const uint8_t *p = m->values + m->offsets[row] * SIZE_##kind;                        \
        int64_t full = m->cols / 64;                                                         \
        for (int64_t i = 0; i < full; i++, out += 64) {                                      \
            uint64_t word = ns_word(m->bitmap, row * m->words + i);                          \
            word_##kind(p, word, scale, out);                                                \
            p += (int64_t)SIZE_##kind * __builtin_popcountll(word);                          \
        }                                                                                    \
        if (full < m->words) {                                                               \
            float rest[64];                                                                  \
            word_##kind(p, ns_word(m->bitmap, row * m->words + full), scale, rest);          \
            memcpy(out, rest, (size_t)(m->cols - 64 * full) * sizeof *out);                  \
        }                                                                                    \
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
