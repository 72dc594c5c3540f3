/* A masked product of low rank: a tile W + s M o (B A), and what its gradient gives to A and B.
 *
 * Both read (and write) the tile once. Every entry sees the same operations in the same order at
 * every level and in the twin, so all give the same bits: products are never fused with sums, and a
 * dot product is always sixteen sums, folded by halves. */
#include "wide.h"

#define NONE 0u
#define ALL 0xffffffffu
#define BIT(b, j) ((b) >> (j) & 1 ? ALL : NONE)
#define ROW1(b) {BIT(b, 0), BIT(b, 1), BIT(b, 2), BIT(b, 3), \
                 BIT(b, 4), BIT(b, 5), BIT(b, 6), BIT(b, 7)}
#define ROW4(b) ROW1(b), ROW1((b) + 1), ROW1((b) + 2), ROW1((b) + 3)
#define ROW16(b) ROW4(b), ROW4((b) + 4), ROW4((b) + 8), ROW4((b) + 12)
#define ROW64(b) ROW16(b), ROW16((b) + 16), ROW16((b) + 32), ROW16((b) + 48)
/* A byte of the bitmap as eight masks of floats. */
static const uint32_t masks[256][8] = {ROW64(0), ROW64(64), ROW64(128), ROW64(192)};

enum { MASKED = WIDE < 8 ? WIDE : 8 };
typedef uint32_t masked __attribute__((vector_size(4 * MASKED)));

/* `count` floats of a row, from column `from` (a multiple of 8) on, +0 where a bit is clear. */
static void keep(const float *row, const uint8_t *bits, int64_t from, int64_t count, float *out) {
    const uint8_t *byte = bits + from / 8;
    int64_t j = 0;
    for (; j + 8 <= count; j += 8, byte++) {
        for (int i = 0; i < 8; i += MASKED) {
            masked word, mask;
            memcpy(&word, row + j + i, sizeof word);
            memcpy(&mask, masks[*byte] + i, sizeof mask);
            word &= mask;
            memcpy(out + j + i, &word, sizeof word);
        }
    }
    for (int i = 0; j < count; j++, i++) out[j] = *byte >> i & 1 ? row[j] : 0.0f;
}

/* sum[j] = sum_k s b[k] a[k, j]; four terms at a time, so that it moves a quarter as often. */
static void combine_rows(const ns_low_rank *m, const float *b, int64_t from, int64_t count,
                         float *restrict sum) {
    const float *a = m->a + from;
    int64_t k = 0;
    memset(sum, 0, (size_t)count * sizeof *sum);
    for (; k + 4 <= m->rank; k += 4, a += 4 * m->cols) {
        const float *a1 = a + m->cols, *a2 = a1 + m->cols, *a3 = a2 + m->cols;
        float b0 = b[k] * m->scale, b1 = b[k + 1] * m->scale, b2 = b[k + 2] * m->scale,
              b3 = b[k + 3] * m->scale;
        for (int64_t j = 0; j < count; j++)
            sum[j] += (b0 * a[j] + b1 * a1[j]) + (b2 * a2[j] + b3 * a3[j]);
    }
    for (; k < m->rank; k++, a += m->cols) {
        float b0 = b[k] * m->scale;
        for (int64_t j = 0; j < count; j++) sum[j] += b0 * a[j];
    }
}

void NS_NAME(low_rank_add)(const ns_low_rank *m, const void *base, int base_halves, void *out,
                           int out_halves, int64_t first, int64_t last) {
    float sum[NS_LOW_RANK_COLS], weight[NS_LOW_RANK_COLS];
    for (int64_t r = first; r < last; r++) {
        for (int64_t from = 0; from < m->cols; from += NS_LOW_RANK_COLS) {
            int64_t left = m->cols - from, at = r * m->cols + from;
            int64_t count = left < NS_LOW_RANK_COLS ? left : NS_LOW_RANK_COLS;
            combine_rows(m, m->b + r * m->rank, from, count, sum);
            keep(sum, m->bitmap + 8 * r * m->words, from, count, sum);
            if (base && base_halves) {
                const uint16_t *w = (const uint16_t *)base + at;
                for (int64_t j = 0; j < count; j++) weight[j] = ns_from_half(w[j]);
                for (int64_t j = 0; j < count; j++) sum[j] += weight[j];
            } else if (base) {
                const float *w = (const float *)base + at;
                for (int64_t j = 0; j < count; j++) sum[j] += w[j];
            }
            if (out_halves) {
                uint16_t *to = (uint16_t *)out + at;
                for (int64_t j = 0; j < count; j++) to[j] = ns_to_half(sum[j]);
            } else {
                memcpy((float *)out + at, sum, (size_t)count * sizeof *sum);
            }
        }
    }
}

/* --- the gradient ----------------------------------------------------------------------------- */

enum { LANES = 16, PARTS = LANES / WIDE, ROWS = 4 };

static float folded(float *lanes) {
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++) lanes[l] += lanes[l + half];
    return lanes[0];
}

/* Four rows p of a strip and one row of A: dots with it, and b^T p added to its gradient. Rows
 * that are not there are zeros. */
static void meet(float (*p)[NS_LOW_RANK_STRIP], const float *b, const float *a, int64_t count,
                 float *grad, float *dots) {
    wide sum[ROWS][PARTS];
    float lanes[ROWS][LANES];
    int64_t j = 0;
    memset(sum, 0, sizeof sum);
    for (; j + LANES <= count; j += LANES) {
        for (int i = 0; i < PARTS; i++) {
            int64_t at = j + i * WIDE;
            wide p0 = wide_load(p[0] + at), p1 = wide_load(p[1] + at), p2 = wide_load(p[2] + at),
                 p3 = wide_load(p[3] + at), along = wide_load(a + at);
            sum[0][i] += p0 * along;
            sum[1][i] += p1 * along;
            sum[2][i] += p2 * along;
            sum[3][i] += p3 * along;
            wide_store(grad + at, wide_load(grad + at) +
                                      ((b[0] * p0 + b[1] * p1) + (b[2] * p2 + b[3] * p3)));
        }
    }
    for (int r = 0; r < ROWS; r++)
        for (int i = 0; i < PARTS; i++) wide_store(lanes[r] + i * WIDE, sum[r][i]);
    for (int l = 0; j < count; j++, l++) {
        for (int r = 0; r < ROWS; r++) lanes[r][l] += p[r][j] * a[j];
        grad[j] += (b[0] * p[0][j] + b[1] * p[1][j]) + (b[2] * p[2][j] + b[3] * p[3][j]);
    }
    for (int r = 0; r < ROWS; r++) dots[r] = folded(lanes[r]);
}

void NS_NAME(low_rank_grad)(const ns_low_rank *m, const float *product, float *dots, float *grad_a,
                            int64_t first, int64_t last) {
    float p[ROWS][NS_LOW_RANK_STRIP], b[ROWS], found[ROWS];
    for (int64_t s = first; s < last; s++) {
        int64_t from = s * NS_LOW_RANK_STRIP, left = m->cols - from;
        int64_t count = left < NS_LOW_RANK_STRIP ? left : NS_LOW_RANK_STRIP;
        float *to = dots + s * m->rows * m->rank;
        memset(p, 0, sizeof p);
        for (int64_t r = 0; r < m->rows; r += ROWS) {
            int64_t here = m->rows - r < ROWS ? m->rows - r : ROWS;
            for (int64_t i = 0; i < ROWS; i++) {
                if (i >= here) memset(p[i], 0, sizeof p[i]);
                else keep(product + (r + i) * m->cols + from, m->bitmap + 8 * (r + i) * m->words,
                          from, count, p[i]);
            }
            for (int64_t k = 0; k < m->rank; k++) {
                for (int64_t i = 0; i < ROWS; i++)
                    b[i] = i < here ? m->b[(r + i) * m->rank + k] * m->scale : 0.0f;
                meet(p, b, m->a + k * m->cols + from, count, grad_a + k * m->cols + from, found);
                for (int64_t i = 0; i < here; i++) to[(r + i) * m->rank + k] = found[i];
            }
        }
    }
}
