/* bf16 and int8 values without the expand instructions of VBMI2: a byte shuffle, whose order a table
 * gives for every eight bits, puts sixteen items into the lanes of a register. */
#include "spread.h"

enum { SPREAD_BATCH = 2 };

/* Eight halves of two bytes each. */
#define PAIR(b, j) (LANE(b, j) < 0 ? -128 : 2 * LANE(b, j)), (LANE(b, j) < 0 ? -128 : 2 * LANE(b, j) + 1)
#define PAIRS1(b) {PAIR(b, 0), PAIR(b, 1), PAIR(b, 2), PAIR(b, 3), \
                   PAIR(b, 4), PAIR(b, 5), PAIR(b, 6), PAIR(b, 7)}
#define PAIRS4(b) PAIRS1(b), PAIRS1((b) + 1), PAIRS1((b) + 2), PAIRS1((b) + 3)
#define PAIRS16(b) PAIRS4(b), PAIRS4((b) + 4), PAIRS4((b) + 8), PAIRS4((b) + 12)
#define PAIRS64(b) PAIRS16(b), PAIRS16((b) + 16), PAIRS16((b) + 32), PAIRS16((b) + 48)
static const int8_t pair_order[256][16] __attribute__((aligned(16))) = {
    PAIRS64(0), PAIRS64(64), PAIRS64(128), PAIRS64(192)};

INLINE __m128i eight_halves(const uint8_t *p, unsigned bits) {
    __m128i order = _mm_load_si128((const __m128i *)pair_order[bits & 255]);
    return _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)p), order);
}

/* Where sixteen bytes of two times eight bits come from. */
INLINE __m128i sixteen_order(unsigned bits) {
    __m128i low = _mm_loadl_epi64((const __m128i *)spread[bits & 255]);
    __m128i high = _mm_loadl_epi64((const __m128i *)spread[bits >> 8 & 255]);
    high = _mm_add_epi8(high, _mm_set1_epi8((char)__builtin_popcount(bits & 255)));
    return _mm_unpacklo_epi64(low, high);
}

INLINE __m128i sixteen_bytes(const uint8_t *p, unsigned bits) {
    return _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)p), sixteen_order(bits));
}

/* Sums of rows 0..7 and 8..15, of even and odd columns apart. */
INLINE void spread_pairs_walk(const ns_tiles *t, int64_t g, const float *x, int64_t stride,
                              const int batch, float (*sums)[NS_TILE_ROWS]) {
    const uint8_t *p = t->values + t->offsets[g] * 2;
    const uint64_t *masks = t->masks ? t->masks + g * t->words : NULL;
    const __m256i upper = _mm256_set1_epi32(-65536);
    __m256 sum[4 * SPREAD_BATCH];
    UNROLL for (int k = 0; k < 4 * batch; k++) sum[k] = _mm256_setzero_ps();
    for (int64_t i = 0; i < t->words; i++) {
        uint64_t word = masks ? masks[i] : ~(uint64_t)0;
        __builtin_prefetch(p + PREFETCH);
        UNROLL for (int u = 0; u < 4; u++) { /* two pairs of columns, each of two times eight rows */
            unsigned bits = (unsigned)(word >> (16 * u)) & 65535;
            const uint8_t *from = p + bytes_below(word, 16 * u, 2);
            __m128i first = eight_halves(from, bits);
            __m128i second = eight_halves(from + 2 * __builtin_popcount(bits & 255), bits >> 8);
            /* Lanes of four rows each: items are pairs of columns by row. */
            __m256i pairs = _mm256_inserti128_si256(_mm256_castsi128_si256(first), second, 1);
            __m256 even = _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16));
            __m256 odd = _mm256_castsi256_ps(_mm256_and_si256(pairs, upper));
            UNROLL for (int b = 0; b < batch; b++) {
                const float *at = x + b * stride + NS_TILE_COLS * i + 2 * (u / 2);
                __m256 *to = sum + 4 * b + 2 * (u % 2);
                to[0] = _mm256_fmadd_ps(even, _mm256_broadcast_ss(at), to[0]);
                to[1] = _mm256_fmadd_ps(odd, _mm256_broadcast_ss(at + 1), to[1]);
            }
        }
        p += 2 * __builtin_popcountll(word);
    }
    UNROLL for (int b = 0; b < batch; b++) {
        UNROLL for (int h = 0; h < 2; h++) {
            __m256 *from = sum + 4 * b + 2 * h;
            _mm256_storeu_ps(sums[b] + 8 * h, _mm256_add_ps(from[0], from[1]));
        }
    }
}

/* Four rows by four columns a sixteen: eight sums of two rows each. */
INLINE void spread_quads_walk(const ns_tiles *t, int64_t g, const float *x, int64_t stride,
                              const int batch, float (*sums)[NS_TILE_ROWS]) {
    const uint8_t *p = t->values + t->offsets[g];
    const uint64_t *masks = t->masks ? t->masks + g * t->words : NULL;
    __m256 sum[8 * SPREAD_BATCH];
    UNROLL for (int k = 0; k < 8 * batch; k++) sum[k] = _mm256_setzero_ps();
    for (int64_t i = 0; i < t->words; i++) {
        uint64_t word = masks ? masks[i] : ~(uint64_t)0;
        __builtin_prefetch(p + PREFETCH);
        UNROLL for (int u = 0; u < 4; u++) {
            unsigned bits = (unsigned)(word >> (16 * u)) & 65535;
            __m128i bytes = sixteen_bytes(p + bytes_below(word, 16 * u, 1), bits);
            UNROLL for (int h = 0; h < 2; h++) {
                __m128i half = h ? _mm_unpackhi_epi64(bytes, bytes) : bytes;
                __m256 w = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(half));
                UNROLL for (int b = 0; b < batch; b++) {
                    const float *at = x + b * stride + NS_TILE_COLS * i;
                    __m256 *to = sum + 8 * b + 2 * u + h;
                    *to = _mm256_fmadd_ps(w, _mm256_broadcast_ps((const __m128 *)at), *to);
                }
            }
        }
        p += __builtin_popcountll(word);
    }
    UNROLL for (int b = 0; b < batch; b++) {
        UNROLL for (int k = 0; k < 8; k++) {
            float two[8];
            _mm256_storeu_ps(two, sum[8 * b + k]);
            sums[b][2 * k] = (two[0] + two[1]) + (two[2] + two[3]);
            sums[b][2 * k + 1] = (two[4] + two[5]) + (two[6] + two[7]);
        }
    }
}

#define SPREAD(name)                                                                        \
    static void name(const ns_tiles *t, int64_t g, const float *x, int64_t stride, int batch, \
                     float (*sums)[NS_TILE_ROWS]) {                                         \
        for (; batch >= SPREAD_BATCH; batch -= SPREAD_BATCH, sums += SPREAD_BATCH) {        \
            name##_walk(t, g, x, stride, SPREAD_BATCH, sums);                               \
            x += SPREAD_BATCH * stride;                                                     \
        }                                                                                   \
        if (batch) name##_walk(t, g, x, stride, 1, sums);                                   \
    }

SPREAD(spread_pairs)
SPREAD(spread_quads)
