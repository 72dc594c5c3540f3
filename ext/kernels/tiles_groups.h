/* int8 and int4 values with a scale for every group of columns, LANES weights at a time, in float32
 * with x unrounded. Sums are of one group; its scales are met when it ends. */

enum { PIECES = NS_TILE_ROWS / LANES, GROUP_SUMS = 4 * PIECES, GROUP_BATCH = LANES / 4 };

/* The values of an int4 byte's half, times 16. */
INLINE __m128i half_bytes(__m128i bytes, const int upper) {
    if (!upper) bytes = _mm_slli_epi16(bytes, 4);
    return _mm_and_si128(bytes, _mm_set1_epi8(-16));
}

/* Sixteen values, four rows by four columns, as floats. */
INLINE void sixteen(const uint8_t *p, unsigned bits, const int nibbles, const int upper, vec *w) {
    __m128i from = _mm_loadu_si128((const __m128i *)p);
    if (nibbles) from = half_bytes(from, upper);
#if NS_ISA == 1
    from = _mm_shuffle_epi8(from, sixteen_order(bits));
    w[0] = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(from));
    w[1] = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_unpackhi_epi64(from, from)));
#else
    w[0] = _mm512_cvtepi32_ps(expanded_32((__mmask16)bits, _mm512_cvtepi8_epi32(from)));
#endif
}

/* Scales of LANES / 4 rows, each four times. */
INLINE vec scales_of(const float *s) {
#if NS_ISA == 1
    return _mm256_set_m128(_mm_broadcast_ss(s + 1), _mm_broadcast_ss(s));
#else
    const __m512i rows = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    return _mm512_permutexvar_ps(rows, vec_repeat4(s));
#endif
}

INLINE void walk_scaled(const ns_tiles *t, int64_t g, const float *x, int64_t stride,
                        const int batch, const int nibbles, float (*sums)[NS_TILE_ROWS]) {
    const uint8_t *p[2] = {t->values + t->offsets[g], t->values + t->offsets[g]};
    const uint64_t *masks = t->masks ? t->masks + g * t->words : NULL;
    const uint16_t *scales = t->group_scales + g * ns_tile_spans(t) * NS_TILE_ROWS;
    vec total[GROUP_SUMS * GROUP_BATCH];
    UNROLL for (int k = 0; k < GROUP_SUMS * batch; k++) total[k] = vec_zero();
    for (int64_t i = 0; i < t->words; scales += NS_TILE_ROWS) {
        vec sum[GROUP_SUMS * GROUP_BATCH];
        float scale[NS_TILE_ROWS];
        int64_t end = i + t->span < t->words ? i + t->span : t->words;
        UNROLL for (int k = 0; k < GROUP_SUMS * batch; k++) sum[k] = vec_zero();
        for (; i < end; i += 2) {
            UNROLL for (int odd = 0; odd < 2; odd++) {
                const int stream = nibbles ? odd : 0;
                uint64_t word = masks ? masks[i + odd] : ~(uint64_t)0;
                if (!stream) __builtin_prefetch(p[0] + PREFETCH);
                UNROLL for (int u = 0; u < 4; u++) {
                    vec w[PIECES];
                    unsigned bits = (unsigned)(word >> (16 * u)) & 65535;
                    sixteen(p[stream] + bytes_below(word, 16 * u, 1), bits, nibbles, odd, w);
                    UNROLL for (int b = 0; b < batch; b++) {
                        vec v = vec_repeat4(x + b * stride + NS_TILE_COLS * (i + odd));
                        UNROLL for (int h = 0; h < PIECES; h++) {
                            vec *to = sum + GROUP_SUMS * b + PIECES * u + h;
                            *to = vec_fma(w[h], v, *to);
                        }
                    }
                }
                p[stream] += __builtin_popcountll(word);
            }
        }
        for (int r = 0; r < NS_TILE_ROWS; r++) scale[r] = ns_from_half(scales[r]);
        UNROLL for (int k = 0; k < GROUP_SUMS; k++) {
            vec s = scales_of(scale + LANES / 4 * k);
            UNROLL for (int b = 0; b < batch; b++) {
                const int at = GROUP_SUMS * b + k;
                total[at] = vec_fma(sum[at], s, total[at]);
            }
        }
    }
    UNROLL for (int b = 0; b < batch; b++) {
        float all[64];
        UNROLL for (int k = 0; k < GROUP_SUMS; k++) {
            vec_store(all + LANES * k, vec_scale(total[GROUP_SUMS * b + k], nibbles ? 0.0625f : 1));
        }
        for (int r = 0; r < NS_TILE_ROWS; r++) {
            sums[b][r] = (all[4 * r] + all[4 * r + 1]) + (all[4 * r + 2] + all[4 * r + 3]);
        }
    }
}

#define SCALED(batch)                                              \
    if (nibbles) walk_scaled(t, g, x, stride, batch, 1, sums);     \
    else walk_scaled(t, g, x, stride, batch, 0, sums)

static void group_scaled(const ns_tiles *t, int64_t g, const float *x, int64_t stride, int batch,
                         float (*sums)[NS_TILE_ROWS]) {
    const int nibbles = t->kind == NS_INT4;
    while (batch > 0) {
        int some = batch < GROUP_BATCH ? batch & 3 : GROUP_BATCH;
        if (some == 3) some = 2;
        switch (some) {
        case 1: SCALED(1); break;
        case 2: SCALED(2); break;
        default: SCALED(GROUP_BATCH); break;
        }
        batch -= some;
        x += some * stride;
        sums += some;
    }
}
