/* Products in tile order, LANES weights at a time, in float32 with x unrounded. Where the level
 * multiplies halves and bytes in pairs, tiles_dot.h takes bf16 and int8 instead. */
#include "lanes.h"

#if NS_ISA == 3
#include "tiles_dot.h"
#include "tiles_dot_groups.h"
#else
#define UNROLL _Pragma("GCC unroll 16")
enum { PREFETCH = 4096 };
#endif
#if NS_ISA == 1
#include "tiles_spread.h"
#endif
#if NS_ISA < 3
#include "tiles_groups.h"
#endif

enum { UNITS = 64 / LANES, MOST = 16 / UNITS, LANE_BITS = (1 << LANES) - 1 };

int NS_NAME(tile_prepare)(const ns_tiles *t, const void *x, int halves, float *scratch,
                          uint32_t *to) {
#if NS_ISA == 3
    if (t->kind == NS_BF16 && halves) return prepare_halves(t, x, to);
    if (t->kind == NS_BF16) return prepare_pairs(t, x, to);
    if (takes_bytes(t)) return prepare_bytes(t, halves ? ns_widen(x, t->cols, scratch) : x, to);
#endif
    (void)scratch;
    ns_tile_floats(t, x, halves, to);
    return 0;
}

/* The lane's columns of x, as often as the register has lanes. */
INLINE vec repeated(const float *x, const int lane) {
    return lane == 4 ? vec_repeat4(x) : lane == 2 ? vec_repeat2(x) : vec_repeat1(x);
}

/* UNITS registers a word with a sum each, for up to MOST vectors in one walk. A unit's lanes are
 * items of the word in order: several rows, with `lane` neighbouring columns a row. */
#define GROUP(type, lane)                                                                   \
    INLINE void walk_##type(const ns_tiles *t, int64_t g, const float *x, int64_t stride,   \
                            const int batch, float (*sums)[NS_TILE_ROWS]) {                 \
        const uint8_t *p = t->values + t->offsets[g] * SIZE_##type;                         \
        const uint64_t *masks = t->masks ? t->masks + g * t->words : NULL;                  \
        vec sum[16];                                                                        \
        UNROLL for (int k = 0; k < batch * UNITS; k++) sum[k] = vec_zero();                 \
        for (int64_t i = 0; i < t->words; i++) {                                            \
            uint64_t word = masks ? masks[i] : ~(uint64_t)0;                                \
            UNROLL for (int l = 0; l < SIZE_##type; l++) {                                  \
                __builtin_prefetch(p + PREFETCH + 64 * l);                                  \
            }                                                                               \
            UNROLL for (int u = 0; u < UNITS; u++) {                                        \
                const int column = u * LANES / (NS_TILE_ROWS * (lane)) * (lane);            \
                vec w = lanes_##type(p, (unsigned)(word >> (LANES * u)));                   \
                p += SIZE_##type * __builtin_popcount((unsigned)(word >> (LANES * u)) & LANE_BITS); \
                UNROLL for (int b = 0; b < batch; b++) {                                    \
                    const float *at = x + b * stride + NS_TILE_COLS * i + column;           \
                    sum[b * UNITS + u] = vec_fma(w, repeated(at, lane), sum[b * UNITS + u]); \
                }                                                                           \
            }                                                                               \
        }                                                                                   \
        UNROLL for (int b = 0; b < batch; b++) {                                            \
            float all[64];                                                                  \
            UNROLL for (int u = 0; u < UNITS; u++) vec_store(all + LANES * u, sum[b * UNITS + u]); \
            UNROLL for (int r = 0; r < NS_TILE_ROWS; r++) {                                 \
                float total = 0;                                                            \
                UNROLL for (int k = 0; k < NS_TILE_COLS; k++) {                             \
                    total += all[k / (lane) * NS_TILE_ROWS * (lane) + r * (lane) + k % (lane)]; \
                }                                                                           \
                sums[b][r] = total;                                                         \
            }                                                                               \
        }                                                                                   \
    }                                                                                       \
    static void group_##type(const ns_tiles *t, int64_t g, const float *x, int64_t stride,  \
                             int batch, float (*sums)[NS_TILE_ROWS]) {                      \
        switch (batch) {                                                                    \
        case 1: walk_##type(t, g, x, stride, 1, sums); break;                               \
        case 2: walk_##type(t, g, x, stride, 2, sums); break;                               \
        case 3: walk_##type(t, g, x, stride, MOST < 3 ? 2 : 3, sums); break;                \
        default: walk_##type(t, g, x, stride, MOST < 4 ? 2 : 4, sums); break;               \
        }                                                                                   \
    }

GROUP(fp32, 1)
GROUP(fp16, 1)
#if NS_ISA > 1 /* at level 3 bf16 never gets here, int8 where it is too wide for 32-bit sums */
GROUP(bf16, 2)
GROUP(int8, 4)
#endif

static void group_of(const ns_tiles *t, int64_t g, const ns_vectors *x, int first, int batch,
                     float (*sums)[NS_TILE_ROWS]) {
    const float *data = (const float *)x->data + first * x->stride;
#if NS_ISA < 3
    if (t->span) {
        group_scaled(t, g, data, x->stride, batch, sums);
        return;
    }
#endif
    switch (t->kind) {
    case NS_FP32: group_fp32(t, g, data, x->stride, batch, sums); break;
    case NS_FP16: group_fp16(t, g, data, x->stride, batch, sums); break;
#if NS_ISA == 1
    case NS_BF16: spread_pairs(t, g, data, x->stride, batch, sums); break;
    default: spread_quads(t, g, data, x->stride, batch, sums); break;
#else
    case NS_BF16: group_bf16(t, g, data, x->stride, batch, sums); break;
    default: group_int8(t, g, data, x->stride, batch, sums); break;
#endif
    }
}

void NS_NAME(tile_matvec)(const ns_tiles *t, const ns_vectors *x, float *out, int64_t stride,
                          int64_t first, int64_t last) {
#if NS_ISA == 3
    if (t->kind == NS_BF16 || takes_bytes(t)) {
        if (t->span) dot_scaled(t, x, out, stride, first, last);
        else dot_groups(t, x, out, stride, first, last);
        return;
    }
#endif
    for (int64_t g = first; g < last; g++) {
        int64_t row = NS_TILE_ROWS * g;
        int rows = t->rows - row < NS_TILE_ROWS ? (int)(t->rows - row) : NS_TILE_ROWS;
        for (int b = 0; b < x->batch; b += MOST) {
            int batch = x->batch - b < MOST ? x->batch - b : MOST;
            float sums[MOST][NS_TILE_ROWS];
            group_of(t, g, x, b, batch, sums);
            for (int k = 0; k < batch; k++) {
                for (int r = 0; r < rows; r++) {
                    float scale = t->scales ? t->scales[row + r] : 1.0f;
                    out[(b + k) * stride + row + r] = sums[k][r] * scale;
                }
            }
        }
    }
}
