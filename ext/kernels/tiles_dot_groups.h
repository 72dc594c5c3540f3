/* int8 and int4 values with a scale for every group of columns, by quads of bytes (tiles_dot.h).
 *
 * x is 256 upper + lower - 32768, times a step, and w the integers of a group times its scale: a
 * group's 256 upper . w + lower . w fits into 32 bits (NS_MOST_GROUP), is scaled as a float, and what
 * the 32768 make of the whole row is taken off at the end. int4 values come times 16. */

enum { VECTORS = STREAMS / 2 };

/* Streams 2 k and 2 k + 1 are the upper and lower bytes of vector k. */
INLINE void walk_scaled(const ns_tiles *t, int64_t g, const uint32_t *const *x, const int vectors,
                        const int nibbles, const int dense, const int narrow, __m512 *total) {
    const uint8_t *p[2] = {t->values + t->offsets[g], t->values + t->offsets[g]};
    const uint64_t *masks = dense ? NULL : t->masks + g * t->words;
    const uint16_t *scales = t->group_scales + g * ns_tile_spans(t) * NS_TILE_ROWS;
    UNROLL for (int v = 0; v < vectors; v++) total[v] = _mm512_setzero_ps();
    for (int64_t i = 0; i < t->words; scales += NS_TILE_ROWS) {
        __m512i sum[2 * STREAMS];
        int64_t end = i + t->span < t->words ? i + t->span : t->words;
        UNROLL for (int k = 0; k < 4 * vectors; k++) sum[k] = _mm512_setzero_si512();
        for (; i < end; i += 4) {
            if (!dense) __builtin_prefetch(masks + i + PREFETCH / 32);
            UNROLL for (int k = 0; k < 4; k++) {
                const int odd = k % 2, stream = nibbles ? odd : 0;
                uint64_t bits = dense ? 0 : masks[i + k];
                int bytes = dense ? 64 : __builtin_popcountll(bits);
                __m512i w = bytes_of_word(p[stream], bytes, nibbles, odd, narrow);
                if (!dense) w = expanded_8(bits, w);
                if (k == 0 || (!nibbles && k == 2) || (dense && !stream)) {
                    __builtin_prefetch(p[0] + PREFETCH);
                }
                p[stream] += bytes;
                UNROLL for (int s = 0; s < 2 * vectors; s++) {
                    sum[2 * s + odd] = add_quads(sum[2 * s + odd], w, x[s] + i + k);
                }
            }
        }
        __m512 scale = halves_as_floats(scales);
        UNROLL for (int v = 0; v < vectors; v++) {
            __m512i upper = _mm512_add_epi32(sum[4 * v], sum[4 * v + 1]);
            __m512i lower = _mm512_add_epi32(sum[4 * v + 2], sum[4 * v + 3]);
            __m512i both = _mm512_add_epi32(_mm512_slli_epi32(upper, 8), lower);
            total[v] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(both), scale, total[v]);
        }
    }
}

#define SCALED(vectors, nibbles)                                                            \
    if (t->masks == NULL) walk_scaled(t, g, x, vectors, nibbles, 1, 0, total);              \
    else if (t->sparse_loads) walk_scaled(t, g, x, vectors, nibbles, 0, 1, total);          \
    else walk_scaled(t, g, x, vectors, nibbles, 0, 0, total)

static void walk_scaled_any(const ns_tiles *t, int64_t g, const uint32_t *const *x, int vectors,
                            __m512 *total) {
    if (t->kind == NS_INT4) {
        switch (vectors) {
        case 1: SCALED(1, 1); break;
        case 2: SCALED(2, 1); break;
        default: SCALED(4, 1); break;
        }
    } else {
        switch (vectors) {
        case 1: SCALED(1, 0); break;
        case 2: SCALED(2, 0); break;
        default: SCALED(4, 0); break;
        }
    }
}

static void dot_scaled(const ns_tiles *t, const ns_vectors *x, float *out, int64_t stride,
                       int64_t first, int64_t last) {
    const float part = t->kind == NS_INT4 ? 0.0625f : 1.0f;
    for (int64_t g = first; g < last; g++) {
        int64_t row = NS_TILE_ROWS * g;
        __mmask16 in = rows_in(t, g);
        __m512 own = _mm512_mul_ps(_mm512_maskz_loadu_ps(in, t->totals + row),
                                   _mm512_set1_ps(32768));
        for (int b = 0; b < x->batch; b += VECTORS) {
            int batch = x->batch - b < VECTORS ? x->batch - b : VECTORS, vectors = 1;
            const uint32_t *parts[STREAMS];
            __m512 total[VECTORS];
            while (vectors < batch) vectors *= 2;
            for (int s = 0; s < 2 * vectors; s++) { /* beyond the batch: the last one again */
                int vector = s / 2 < batch ? s / 2 : batch - 1;
                parts[s] = x->data + (b + vector) * x->stride + s % 2 * t->words;
            }
            walk_scaled_any(t, g, parts, vectors, total);
            for (int k = 0; k < batch; k++) {
                float step;
                memcpy(&step, x->data + (b + k) * x->stride + NS_TILE_COLS * t->words, sizeof step);
                __m512 sum = _mm512_fmsub_ps(total[k], _mm512_set1_ps(part), own);
                sum = _mm512_mul_ps(sum, _mm512_set1_ps(step));
                _mm512_mask_storeu_ps(out + (b + k) * stride + row, in, sum);
            }
        }
    }
}
