/* AVX2 + FMA + F16C: eight lanes, spread by a permutation that a table gives for each eight bits. */
#include <immintrin.h>

typedef __m256 vec;
enum { LANES = 8 };

#include "spread.h"

INLINE __m128i spread_of(unsigned bits) {
    return _mm_loadl_epi64((const __m128i *)spread[bits & 255]);
}

INLINE vec vec_zero(void) { return _mm256_setzero_ps(); }
INLINE vec vec_load(const float *p) { return _mm256_loadu_ps(p); }
INLINE void vec_store(float *p, vec v) { _mm256_storeu_ps(p, v); }
INLINE vec vec_scale(vec v, float s) { return _mm256_mul_ps(v, _mm256_set1_ps(s)); }
INLINE vec vec_fma(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }
INLINE vec vec_repeat1(const float *p) { return _mm256_set1_ps(*p); }
INLINE vec vec_repeat2(const float *p) {
    __m128i pair = _mm_loadl_epi64((const __m128i *)p);
    return _mm256_castsi256_ps(_mm256_broadcastq_epi64(pair));
}
INLINE vec vec_repeat4(const float *p) { return _mm256_broadcast_ps((const __m128 *)p); }

/* The permutation reads the low three bits of an index, the blend its sign. */
INLINE vec spread_lanes(vec v, unsigned bits) {
    __m256i index = _mm256_cvtepi8_epi32(spread_of(bits));
    v = _mm256_permutevar8x32_ps(v, index);
    return _mm256_blendv_ps(v, _mm256_setzero_ps(), _mm256_castsi256_ps(index));
}

INLINE vec lanes_fp32(const uint8_t *p, unsigned bits) {
    return spread_lanes(_mm256_loadu_ps((const float *)p), bits);
}

INLINE vec lanes_bf16(const uint8_t *p, unsigned bits) {
    __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
    return spread_lanes(_mm256_castsi256_ps(_mm256_slli_epi32(wide, 16)), bits);
}

INLINE vec lanes_fp16(const uint8_t *p, unsigned bits) {
    return spread_lanes(_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)), bits);
}

INLINE vec lanes_int8(const uint8_t *p, unsigned bits) {
    __m256i wide = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p));
    return spread_lanes(_mm256_cvtepi32_ps(wide), bits);
}

INLINE void expand_8(const uint8_t *p, uint64_t word, uint8_t *out) {
    for (int u = 0; u < 8; u++, word >>= 8) {
        __m128i v = _mm_loadl_epi64((const __m128i *)p);
        v = _mm_shuffle_epi8(v, spread_of((unsigned)word));
        _mm_storel_epi64((__m128i *)(out + 8 * u), v);
        p += __builtin_popcountll(word & 255);
    }
}

INLINE void expand_16(const uint8_t *p, uint64_t word, uint8_t *out) {
    const __m128i second = _mm_set1_epi16(256); /* the upper byte of a pair is the next one */
    for (int u = 0; u < 8; u++, word >>= 8) {
        __m128i index = spread_of((unsigned)word);
        index = _mm_unpacklo_epi8(index, index);
        index = _mm_add_epi8(_mm_adds_epi8(index, index), second); /* -128 stays negative */
        __m128i v = _mm_loadu_si128((const __m128i *)p);
        _mm_storeu_si128((__m128i *)(out + 16 * u), _mm_shuffle_epi8(v, index));
        p += 2 * __builtin_popcountll(word & 255);
    }
}

INLINE void expand_32(const uint8_t *p, uint64_t word, uint8_t *out) {
    for (int u = 0; u < 8; u++, word >>= 8) {
        vec_store((float *)(out + 32 * u), lanes_fp32(p, (unsigned)word));
        p += 4 * __builtin_popcountll(word & 255);
    }
}
