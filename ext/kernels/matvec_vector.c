/* Matrix-vector product, LANES weights at a time.
 *
 * Values stream from memory once, and everything serves that: they are prefetched PREFETCH bytes
 * ahead (a row ends, the stream goes on), x stays in cache, and several partial sums hide the
 * latency of the multiply-add. The sums of a row are added in one fixed order. */
#include "lanes.h"

enum { PREFETCH = 8192 };

#define PREPARE(kind)                                                                        \
    static void prepare_##kind(const float *x, int batch, int64_t cols, int64_t words,       \
                               float *to) {                                                  \
        for (int b = 0; b < batch; b++, x += cols) {                                         \
            float rest[64] = {0}, *last = to + 64 * (batch * (words - 1) + b);               \
            for (int64_t i = 0; i < cols / 64; i++) {                                        \
                order_##kind(x + 64 * i, to + 64 * (batch * i + b));                         \
            }                                                                                \
            if (cols % 64 == 0) continue;                                                    \
            memcpy(rest, x + cols / 64 * 64, (size_t)(cols % 64) * sizeof *x);               \
            order_##kind(rest, last);                                                        \
        }                                                                                    \
    }

PREPARE(fp32)
PREPARE(bf16)
PREPARE(fp16)
PREPARE(int8)

void NS_NAME(prepare)(int kind, const float *x, int batch, int64_t cols, int64_t words,
                      float *prepared) {
    switch (kind) {
    case NS_FP32: prepare_fp32(x, batch, cols, words, prepared); break;
    case NS_BF16: prepare_bf16(x, batch, cols, words, prepared); break;
    case NS_FP16: prepare_fp16(x, batch, cols, words, prepared); break;
    default: prepare_int8(x, batch, cols, words, prepared); break;
    }
}

/* `batch` and `sums` are constants wherever this is used, so the inner loops unroll and the sums
 * live in registers: sums * batch of them. */
#define ROWS(kind)                                                                           \
    INLINE int rows_##kind(const ns_matrix *m, const float *prepared, const int batch,       \
                           const int sums, float *out, int64_t stride, int64_t first,        \
                           int64_t last) {                                                   \
        int failed = 0;                                                                      \
        for (int64_t r = first; r < last; r++) {                                             \
            const uint8_t *p = m->values + m->offsets[r] * SIZE_##kind;                      \
            const uint8_t *bits = m->bitmap + 8 * r * m->words;                              \
            const float *x = prepared;                                                       \
            vec sum[NS_BATCH * 8];                                                           \
            if (!ns_row_agrees(m, r)) {                                                      \
                failed = 1;                                                                  \
                continue;                                                                    \
            }                                                                                \
            UNROLL for (int k = 0; k < batch * sums; k++) sum[k] = vec_zero();               \
            for (int64_t i = 0; i < m->words; i++, bits += 8, x += 64 * batch) {             \
                UNROLL for (int line = 0; line < (SIZE_##kind + 1) / 2; line++) {            \
                    __builtin_prefetch(p + PREFETCH + 64 * line);                            \
                }                                                                            \
                UNROLL for (int v = 0; v < 64 / LANES; v += VECS_##kind) {                   \
                    vec w[VECS_##kind];                                                      \
                    unit_##kind(p, bits, v / VECS_##kind, w);                                \
                    UNROLL for (int k = 0; k < VECS_##kind; k++) {                           \
                        UNROLL for (int b = 0; b < batch; b++) {                             \
                            vec *s = &sum[b * sums + (v + k) % sums];                        \
                            *s = vec_fma(w[k], vec_load(x + 64 * b + LANES * (v + k)), *s);  \
                        }                                                                    \
                    }                                                                        \
                }                                                                            \
                p += (int64_t)SIZE_##kind * __builtin_popcountll(ns_word(bits, 0));          \
            }                                                                                \
            float scale = m->scales ? m->scales[r] : 1.0f;                                   \
            UNROLL for (int b = 0; b < batch; b++) {                                         \
                UNROLL for (int gap = sums / 2; gap > 0; gap /= 2) {                         \
                    UNROLL for (int k = 0; k < gap; k++) {                                   \
                        vec *s = &sum[b * sums + k];                                         \
                        *s = vec_add(*s, s[gap]);                                            \
                    }                                                                        \
                }                                                                            \
                out[b * stride + r] = vec_sum(sum[b * sums]) * scale;                        \
            }                                                                                \
        }                                                                                    \
        return failed;                                                                       \
    }                                                                                        \
    static int batch_##kind(const ns_matrix *m, const float *x, int batch, float *out,       \
                            int64_t stride, int64_t first, int64_t last) {                   \
        switch (batch) {                                                                     \
        case 1: return rows_##kind(m, x, 1, 64 / LANES, out, stride, first, last);           \
        case 2: return rows_##kind(m, x, 2, 4, out, stride, first, last);                    \
        case 3: return rows_##kind(m, x, 3, 2, out, stride, first, last);                    \
        default: return rows_##kind(m, x, 4, 2, out, stride, first, last);                   \
        }                                                                                    \
    }

#define UNROLL _Pragma("GCC unroll 16")

ROWS(fp32)
ROWS(bf16)
ROWS(fp16)
ROWS(int8)

int NS_NAME(matvec)(const ns_matrix *m, const float *prepared, int batch, float *out,
                    int64_t stride, int64_t first, int64_t last) {
    switch (m->kind) {
    case NS_FP32: return batch_fp32(m, prepared, batch, out, stride, first, last);
    case NS_BF16: return batch_bf16(m, prepared, batch, out, stride, first, last);
    case NS_FP16: return batch_fp16(m, prepared, batch, out, stride, first, last);
    default: return batch_int8(m, prepared, batch, out, stride, first, last);
    }
}
