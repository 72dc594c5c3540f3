/* Products in tile order by the instructions that multiply pairs of bf16 and quads of bytes.
 *
 * Every part of x (tiles_parts.h) is a *stream*: a register of weights is expanded once and
 * multiplied with one broadcast a stream. */

#include "tiles_parts.h"

enum { STREAMS = 8 };

INLINE __m512 add_pairs(__m512 sum, __m512i w, const uint32_t *x) {
    return _mm512_dpbf16_ps(sum, (__m512bh)w, (__m512bh)broadcast_32(x));
}

INLINE __m512i add_quads(__m512i sum, __m512i w, const uint32_t *x) {
    return _mm512_dpbusd_epi32(sum, broadcast_32(x), w);
}

/* One group for `streams` parts of x, `sets` words at a time with sums of their own: eight sums or
 * more hide the latency. `dense`: nothing is masked. */
INLINE void walk_pairs(const ns_tiles *t, int64_t g, const uint32_t *const *x, const int streams,
                       const int sets, const int dense, const int narrow, __m512 *total) {
    const uint8_t *p = t->values + t->offsets[g] * 2;
    const uint64_t *masks = dense ? NULL : t->masks + g * t->words;
    __m512 sum[16];
    UNROLL for (int k = 0; k < 2 * sets * streams; k++) sum[k] = _mm512_setzero_ps();
    for (int64_t i = 0; i < t->words; i += sets) {
        if (!dense) __builtin_prefetch(masks + i + PREFETCH / 32);
        UNROLL for (int k = 0; k < sets; k++) {
            UNROLL for (int j = 0; j < 2; j++) {
                uint32_t bits = dense ? 0 : (uint32_t)(masks[i + k] >> (32 * j));
                int bytes = dense ? 64 : 2 * __builtin_popcount(bits);
                __m512i w = loaded(p, bytes, narrow);
                if (!dense) w = expanded_16(bits, w);
                if (j == 0 || dense) __builtin_prefetch(p + PREFETCH);
                p += bytes;
                UNROLL for (int s = 0; s < streams; s++) {
                    __m512 *at = &sum[(s * sets + k) * 2 + j];
                    *at = add_pairs(*at, w, x[s] + 2 * (i + k) + j);
                }
            }
        }
    }
    UNROLL for (int s = 0; s < streams; s++) {
        __m512 all = _mm512_add_ps(sum[2 * s * sets], sum[2 * s * sets + 1]);
        UNROLL for (int k = 1; k < sets; k++) {
            const int at = 2 * (s * sets + k);
            all = _mm512_add_ps(all, _mm512_add_ps(sum[at], sum[at + 1]));
        }
        total[s] = all;
    }
}

INLINE void walk_quads(const ns_tiles *t, int64_t g, const uint32_t *const *x, const int streams,
                       const int sets, const int dense, const int narrow, __m512i *total) {
    const uint8_t *p = t->values + t->offsets[g];
    const uint64_t *masks = dense ? NULL : t->masks + g * t->words;
    __m512i sum[16];
    UNROLL for (int k = 0; k < sets * streams; k++) sum[k] = _mm512_setzero_si512();
    for (int64_t i = 0; i < t->words; i += sets) {
        if (!dense) __builtin_prefetch(masks + i + PREFETCH / 32);
        UNROLL for (int k = 0; k < sets; k++) {
            uint64_t bits = dense ? 0 : masks[i + k];
            int bytes = dense ? 64 : __builtin_popcountll(bits);
            __m512i w = loaded(p, bytes, narrow);
            if (!dense) w = expanded_8(bits, w);
            if (k % 2 == 0 || dense) __builtin_prefetch(p + PREFETCH);
            p += bytes;
            UNROLL for (int s = 0; s < streams; s++) {
                __m512i *at = &sum[s * sets + k];
                *at = add_quads(*at, w, x[s] + i + k);
            }
        }
    }
    UNROLL for (int s = 0; s < streams; s++) {
        __m512i all = sum[s * sets];
        UNROLL for (int k = 1; k < sets; k++) all = _mm512_add_epi32(all, sum[s * sets + k]);
        total[s] = all;
    }
}

#define WALK(name, type)                                                                    \
    static void name##_any(const ns_tiles *t, int64_t g, const uint32_t *const *x, int streams, \
                           type *total) {                                                   \
        if (t->masks == NULL) name##_streams(t, g, x, streams, 1, 0, total);                \
        else if (t->sparse_loads) name##_streams(t, g, x, streams, 0, 1, total);            \
        else name##_streams(t, g, x, streams, 0, 0, total);                                 \
    }
#define STREAMED(name, type, one, two, four, eight)                                         \
    INLINE void name##_streams(const ns_tiles *t, int64_t g, const uint32_t *const *x,      \
                               int streams, const int dense, const int narrow, type *total) { \
        switch (streams) {                                                                  \
        case 1: name(t, g, x, 1, one, dense, narrow, total); break;                         \
        case 2: name(t, g, x, 2, two, dense, narrow, total); break;                         \
        case 4: name(t, g, x, 4, four, dense, narrow, total); break;                        \
        default: name(t, g, x, 8, eight, dense, narrow, total); break;                      \
        }                                                                                   \
    }                                                                                       \
    WALK(name, type)

STREAMED(walk_pairs, __m512, 4, 2, 1, 1)
STREAMED(walk_quads, __m512i, 8, 4, 2, 2)

INLINE void pairs_to(const ns_tiles *t, int64_t g, const ns_vectors *x, int b, int batch,
                     float (*sums)[NS_TILE_ROWS]) {
    const uint32_t *parts[STREAMS];
    __m512 total[STREAMS];
    int each = x->low ? 2 : 1, streams = 1;
    while (streams < batch * each) streams *= 2;
    for (int s = 0; s < streams; s++) { /* beyond the batch: the last one again */
        int vector = s / each < batch ? s / each : batch - 1;
        parts[s] = x->data + (b + vector) * x->stride + s % each * 2 * t->words;
    }
    walk_pairs_any(t, g, parts, streams, total);
    for (int k = 0; k < batch; k++) {
        __m512 sum = total[k * each];
        if (each == 2) sum = _mm512_add_ps(sum, total[2 * k + 1]);
        _mm512_storeu_ps(sums[k], sum);
    }
}

INLINE void quads_to(const ns_tiles *t, int64_t g, const ns_vectors *x, int b, int batch,
                     float (*sums)[NS_TILE_ROWS]) {
    const uint32_t *parts[STREAMS];
    __m512i total[STREAMS];
    int streams = 2;
    while (streams < 2 * batch) streams *= 2;
    for (int s = 0; s < streams; s++) {
        int vector = s / 2 < batch ? s / 2 : batch - 1;
        parts[s] = x->data + (b + vector) * x->stride + s % 2 * t->words;
    }
    walk_quads_any(t, g, parts, streams, total);
    for (int k = 0; k < batch; k++) {
        int32_t upper[NS_TILE_ROWS], lower[NS_TILE_ROWS];
        float step;
        memcpy(&step, x->data + (b + k) * x->stride + NS_TILE_COLS * t->words, sizeof step);
        _mm512_storeu_si512(upper, total[2 * k]);
        _mm512_storeu_si512(lower, total[2 * k + 1]);
        for (int r = 0; r < NS_TILE_ROWS; r++) {
            sums[k][r] = sum_of_bytes(t, NS_TILE_ROWS * g + r, upper[r], lower[r], step);
        }
    }
}

static void dot_groups(const ns_tiles *t, const ns_vectors *x, float *out, int64_t stride,
                       int64_t first, int64_t last) {
    int most = t->kind == NS_INT8 || x->low ? STREAMS / 2 : STREAMS;
    for (int64_t g = first; g < last; g++) {
        int64_t row = NS_TILE_ROWS * g;
        int rows = t->rows - row < NS_TILE_ROWS ? (int)(t->rows - row) : NS_TILE_ROWS;
        for (int b = 0; b < x->batch; b += most) {
            float sums[STREAMS][NS_TILE_ROWS];
            int batch = x->batch - b < most ? x->batch - b : most;
            if (t->kind == NS_INT8) quads_to(t, g, x, b, batch, sums);
            else pairs_to(t, g, x, b, batch, sums);
            for (int k = 0; k < batch; k++) {
                for (int r = 0; r < rows; r++) {
                    float scale = t->scales ? t->scales[row + r] : 1.0f;
                    out[(b + k) * stride + row + r] = sums[k][r] * scale;
                }
            }
        }
    }
}
