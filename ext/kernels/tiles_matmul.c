/* Many right-hand sides: a panel of two groups of rows is expanded once, as the registers that
 * vdpbf16ps multiplies, stays in the second-level cache, and meets all vectors, twelve at a time.
 * int8 and int4 values become bf16, which holds them exactly; where groups of columns have scales, a
 * group is multiplied by itself and its sums are scaled. */
#include "lanes.h"

#if NS_ISA == 3
#include "tiles_panel.h"

enum { PANEL = NS_PANEL, TOKENS = 12 };

/* sums[vector][PANEL] += panel times `tokens` vectors. */
INLINE void multiply(const uint32_t *panel, int64_t pairs, const uint32_t *x, int64_t stride,
                     const int tokens, __m512 *sums) {
    __m512 sum[TOKENS][PANEL];
    UNROLL for (int k = 0; k < tokens; k++) {
        UNROLL for (int g = 0; g < PANEL; g++) sum[k][g] = sums[k * PANEL + g];
    }
    for (int64_t i = 0; i < pairs; i++, panel += PANEL * 16) {
        __m512i w[PANEL];
        UNROLL for (int g = 0; g < PANEL; g++) w[g] = _mm512_load_si512(panel + 16 * g);
        UNROLL for (int k = 0; k < tokens; k++) {
            __m512i v = broadcast_32(x + k * stride + i);
            UNROLL for (int g = 0; g < PANEL; g++) {
                sum[k][g] = _mm512_dpbf16_ps(sum[k][g], (__m512bh)w[g], (__m512bh)v);
            }
        }
    }
    UNROLL for (int k = 0; k < tokens; k++) {
        UNROLL for (int g = 0; g < PANEL; g++) sums[k * PANEL + g] = sum[k][g];
    }
}

static void multiply_any(const uint32_t *panel, int64_t pairs, const uint32_t *x, int64_t stride,
                         int tokens, __m512 *sums) {
    switch (tokens) {
    case 12: multiply(panel, pairs, x, stride, 12, sums); return;
    case 8: multiply(panel, pairs, x, stride, 8, sums); return;
    case 4: multiply(panel, pairs, x, stride, 4, sums); return;
    default:
        for (int k = 0; k < tokens; k++) {
            multiply(panel, pairs, x + k * stride, stride, 1, sums + k * PANEL);
        }
    }
}

/* sums[vector][PANEL] += scales times the product, group by group of `span` words that begin at
 * group `k` of the columns. */
static void multiply_scaled(const ns_tiles *t, int64_t g, int64_t k, const uint32_t *panel,
                            int64_t words, const uint32_t *x, int64_t stride, int tokens,
                            __m512 *sums) {
    for (int64_t i = 0; i < words; i += t->span, k++) {
        __m512 own[TOKENS * PANEL], scale[PANEL];
        int64_t count = words - i < t->span ? words - i : t->span;
        for (int h = 0; h < PANEL; h++) scale[h] = column_scales(t, g + h, k);
        for (int n = 0; n < tokens * PANEL; n++) own[n] = _mm512_setzero_ps();
        multiply_any(panel + 2 * PANEL * 16 * i, 2 * count, x + 2 * i, stride, tokens, own);
        for (int n = 0; n < tokens * PANEL; n++) {
            sums[n] = _mm512_fmadd_ps(own[n], scale[n % PANEL], sums[n]);
        }
    }
}

static int next_tokens(int left) {
    return left >= 12 ? 12 : left >= 8 ? 8 : left >= 4 ? 4 : left;
}

static void one_panel(const ns_tiles *t, const ns_vectors *x, int64_t g, uint32_t *panel,
                      void *out, int halves) {
    const uint8_t *from[PANEL][2] = {{0}};
    float *kept = (float *)(panel + NS_PANEL_ITEMS(PANEL, NS_PANEL_WORDS));
    for (int k = 0; k < PANEL && g + k < t->groups; k++) {
        from[k][0] = from[k][1] = t->values + ns_item_size(t->kind) * t->offsets[g + k];
    }
    for (int64_t start = 0, stop; start < t->words; start = stop) {
        stop = start + NS_PANEL_WORDS < t->words ? start + NS_PANEL_WORDS : t->words;
        for (int k = 0; k < PANEL; k++) {
            expand_group(t, g + k, start, stop, from[k], 16 * PANEL, panel + 16 * k);
        }
        for (int b = 0, tokens; b < x->batch; b += tokens) {
            __m512 sums[TOKENS * PANEL];
            const uint32_t *at = x->data + b * x->stride + 2 * start;
            float *own = kept + b * NS_TILE_ROWS * PANEL;
            tokens = next_tokens(x->batch - b);
            size_t bytes = (size_t)tokens * PANEL * sizeof *sums;
            if (start) memcpy(sums, own, bytes);
            else memset(sums, 0, bytes);
            for (int part = 0; part <= (x->low != 0); part++, at += 2 * t->words) {
                if (t->span) {
                    multiply_scaled(t, g, start / t->span, panel, stop - start, at, x->stride,
                                    tokens, sums);
                } else {
                    multiply_any(panel, 2 * (stop - start), at, x->stride, tokens, sums);
                }
            }
            if (stop < t->words) {
                memcpy(own, sums, bytes);
                continue;
            }
            for (int k = 0; k < PANEL; k++) {
                write_group(t, g + k, (const float *)(sums + k), NS_TILE_ROWS * PANEL, b, tokens,
                            out, halves);
            }
        }
    }
}

void NS_NAME(tile_matmul)(const ns_tiles *t, const ns_vectors *x, int groups, uint32_t *panel,
                          void *out, int halves, int64_t first, int64_t last) {
    (void)groups; /* there is one size */
    for (int64_t q = first; q < last; q++) one_panel(t, x, PANEL * q, panel, out, halves);
}

int NS_NAME(tile_pairs)(const ns_tiles *t, const void *x, int halves, uint32_t *to) {
    return halves ? prepare_halves(t, x, to) : prepare_pairs(t, x, to);
}

#endif
