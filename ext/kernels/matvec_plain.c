/* Matrix-vector product, one weight at a time: the reference for matvec_vector.c. */
#include "lanes.h"

void NS_NAME(prepare)(int kind, const float *x, int batch, int64_t cols, int64_t words,
                      float *prepared) {
    (void)kind;
    for (int b = 0; b < batch; b++) {
        for (int64_t i = 0; i < words; i++) {
            float *to = prepared + 64 * (batch * i + b);
            int64_t width = cols - 64 * i < 64 ? cols - 64 * i : 64;
            memcpy(to, x + b * cols + 64 * i, (size_t)width * sizeof *x);
            memset(to + width, 0, (size_t)(64 - width) * sizeof *x);
        }
    }
}

/* Four sums by the position among the set bits: one would wait for its own additions. */
#define ROW(kind)                                                                       \
    static float row_##kind(const ns_matrix *m, int64_t row, const float *x,            \
                            int64_t step) {                                             \
        const uint8_t *p = m->values + m->offsets[row] * SIZE_##kind;                   \
        float sum[4] = {0};                                                             \
        for (int64_t i = 0; i < m->words; i++, x += step) {                             \
            uint64_t word = ns_word(m->bitmap, row * m->words + i);                     \
            for (int k = 0; word; word &= word - 1, p += SIZE_##kind, k++) {            \
                sum[k & 3] += one_##kind(p) * x[__builtin_ctzll(word)];                 \
            }                                                                           \
        }                                                                               \
        return (sum[0] + sum[1]) + (sum[2] + sum[3]);                                   \
    }

ROW(fp32)
ROW(bf16)
ROW(fp16)
ROW(int8)

int NS_NAME(matvec)(const ns_matrix *m, const float *prepared, int batch, float *out,
                    int64_t stride, int64_t first, int64_t last) {
    int failed = 0;
    for (int64_t r = first; r < last; r++) {
        float scale = m->scales ? m->scales[r] : 1.0f;
        if (!ns_row_agrees(m, r)) {
            failed = 1;
            continue;
        }
        for (int b = 0; b < batch; b++) {
            const float *x = prepared + 64 * b;
            float sum = m->kind == NS_FP32   ? row_fp32(m, r, x, 64 * batch)
                        : m->kind == NS_BF16 ? row_bf16(m, r, x, 64 * batch)
                        : m->kind == NS_FP16 ? row_fp16(m, r, x, 64 * batch)
                                             : row_int8(m, r, x, 64 * batch);
            out[b * stride + r] = sum * scale;
        }
    }
    return failed;
}
