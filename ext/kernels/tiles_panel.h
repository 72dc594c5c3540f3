/* Groups expanded as the pairs of bf16 that are multiplied. int8 and int4 values become bf16, which
 * holds them exactly. */
#ifndef NEUROSPARSE_TILES_PANEL_H
#define NEUROSPARSE_TILES_PANEL_H

#include "tiles_parts.h"

/* The words first..last of group g as pairs, [2 * words][16 lanes] with `step` items between them;
 * *from moves on. */
INLINE void expand_pairs(const ns_tiles *t, int64_t g, int64_t first, int64_t last,
                         const uint8_t **from, const int step, uint32_t *to) {
    const uint64_t *masks = t->masks ? t->masks + g * t->words : NULL;
    const uint8_t *p = *from;
    for (int64_t i = first; i < last; i++) {
        uint64_t word = masks ? masks[i] : ~(uint64_t)0;
        for (int j = 0; j < 2; j++, to += step) {
            __builtin_prefetch(p + PREFETCH);
            _mm512_store_si512(to, expanded_16((uint32_t)(word >> 32 * j), _mm512_loadu_si512(p)));
            p += 2 * __builtin_popcount((uint32_t)(word >> 32 * j));
        }
    }
    *from = p;
}

/* Byte k of every lane as the upper half of a float, which is its bf16. */
INLINE __m512i byte_as_float(__m512i quads, int k) {
    __m512i wide = _mm512_srai_epi32(_mm512_slli_epi32(quads, (unsigned)(24 - 8 * k)), 24);
    return _mm512_castps_si512(_mm512_cvtepi32_ps(wide));
}

INLINE void expand_quads(const ns_tiles *t, int64_t g, int64_t first, int64_t last,
                         const uint8_t **from, const int step, uint32_t *to) {
    const uint64_t *masks = t->masks ? t->masks + g * t->words : NULL;
    const uint8_t *p = *from;
    for (int64_t i = first; i < last; i++) {
        uint64_t word = masks ? masks[i] : ~(uint64_t)0;
        __m512i quads = expanded_8(word, _mm512_loadu_si512(p));
        __builtin_prefetch(p + PREFETCH);
        p += __builtin_popcountll(word);
        for (int j = 0; j < 2; j++, to += step) {
            __m512i low = _mm512_srli_epi32(byte_as_float(quads, 2 * j), 16);
            _mm512_store_si512(to, _mm512_or_si512(low, byte_as_float(quads, 2 * j + 1)));
        }
    }
    *from = p;
}

/* The same of int4 values: from[0] at those of even words, from[1] at those of odd ones. */
INLINE void expand_halves(const ns_tiles *t, int64_t g, int64_t first, int64_t last,
                          const uint8_t **from, const int step, uint32_t *to) {
    const uint64_t *masks = t->masks ? t->masks + g * t->words : NULL;
    for (int64_t i = first; i < last; i++) {
        uint64_t word = masks ? masks[i] : ~(uint64_t)0;
        const uint8_t **p = from + i % 2;
        __m512i quads = expanded_8(word, bytes_of_word(*p, 64, 1, i % 2, 0));
        __builtin_prefetch(*p + PREFETCH);
        *p += __builtin_popcountll(word);
        for (int j = 0; j < 2; j++, to += step) {
            __m512i low = _mm512_srli_epi32(byte_as_float(quads, 2 * j), 16);
            _mm512_store_si512(to, _mm512_or_si512(low, byte_as_float(quads, 2 * j + 1)));
        }
    }
}

/* One group; beyond the matrix it is zero. `from` is where its values are read next. */
INLINE void expand_group(const ns_tiles *t, int64_t g, int64_t first, int64_t last,
                         const uint8_t **from, const int step, uint32_t *to) {
    if (g >= t->groups) {
        for (int64_t i = 0; i < 2 * (last - first); i++) {
            _mm512_store_si512(to + step * i, _mm512_setzero_si512());
        }
    } else if (t->kind == NS_INT8) {
        expand_quads(t, g, first, last, from, step, to);
    } else if (t->kind == NS_INT4) {
        expand_halves(t, g, first, last, from, step, to);
    } else {
        expand_pairs(t, g, first, last, from, step, to);
    }
}

/* Scales of a group for group `k` of the columns, as they are multiplied with its sums. */
INLINE __m512 column_scales(const ns_tiles *t, int64_t g, int64_t k) {
    if (g >= t->groups) return _mm512_setzero_ps();
    const uint16_t *at = t->group_scales + (g * ns_tile_spans(t) + k) * NS_TILE_ROWS;
    return _mm512_mul_ps(halves_as_floats(at), _mm512_set1_ps(t->kind == NS_INT4 ? 0.0625f : 1.0f));
}

/* Finished sums of a group, `stride` floats from side to side, to out [side, row] from side `first`
 * on, times the rows' scales. */
INLINE void write_group(const ns_tiles *t, int64_t g, const float *sums, int64_t stride,
                        int64_t first, int sides, void *out, int halves) {
    const __mmask16 in = rows_in(t, g);
    const __m512 scale = row_scales(t, g);
    if (in == 0) return;
    for (int k = 0; k < sides; k++) {
        __m512 v = _mm512_mul_ps(_mm512_load_ps(sums + k * stride), scale);
        int64_t to = (first + k) * t->rows + NS_TILE_ROWS * g;
        if (halves) {
            _mm256_mask_storeu_epi16((uint16_t *)out + to, in, (__m256i)_mm512_cvtneps_pbh(v));
        } else {
            _mm512_mask_storeu_ps((float *)out + to, in, v);
        }
    }
}

#endif
