/* AVX-512: sixteen lanes; the register forms of the expand instructions: with the load folded into the
 * expand, cold data comes at a third of the speed (the hardware does not prefetch for it). NS_ISA 3 adds VBMI2's byte and word expands. */
#include <immintrin.h>

typedef __m512 vec;
enum { LANES = 16 };

INLINE vec vec_zero(void) { return _mm512_setzero_ps(); }
INLINE vec vec_load(const float *p) { return _mm512_loadu_ps(p); }
INLINE void vec_store(float *p, vec v) { _mm512_storeu_ps(p, v); }
INLINE vec vec_scale(vec v, float s) { return _mm512_mul_ps(v, _mm512_set1_ps(s)); }
INLINE vec vec_fma(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }
INLINE vec vec_repeat1(const float *p) { return _mm512_set1_ps(*p); }
INLINE vec vec_repeat2(const float *p) {
    __m128i pair = _mm_loadl_epi64((const __m128i *)p);
    return _mm512_castsi512_ps(_mm512_broadcastq_epi64(pair));
}
INLINE vec vec_repeat4(const float *p) { return _mm512_broadcast_f32x4(_mm_loadu_ps(p)); }

/* Zen 4 waits for the old value of the register that an expand writes, zero-masked or not. One that
 * was just cleared (which costs nothing) is ready: twice as fast. */
#define EXPAND(name, suffix, mask)                                                     \
    INLINE __m512i name(mask bits, __m512i v) {                                        \
        __m512i out;                                                                   \
        __asm__("vpxord %x0, %x0, %x0\n\tvpexpand" suffix " %1, %0%{%2%}%{z%}"         \
                : "=&v"(out) : "v"(v), "Yk"(bits));                                    \
        return out;                                                                    \
    }

EXPAND(expanded_32, "d", __mmask16)

INLINE vec lanes_fp32(const uint8_t *p, unsigned bits) {
    return _mm512_castsi512_ps(expanded_32((__mmask16)bits, _mm512_loadu_si512(p)));
}

INLINE vec lanes_bf16(const uint8_t *p, unsigned bits) {
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
    wide = expanded_32((__mmask16)bits, wide);
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

INLINE vec lanes_fp16(const uint8_t *p, unsigned bits) {
    vec wide = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
    return _mm512_castsi512_ps(expanded_32((__mmask16)bits, _mm512_castps_si512(wide)));
}

INLINE vec lanes_int8(const uint8_t *p, unsigned bits) {
    __m512i wide = _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p));
    return _mm512_cvtepi32_ps(expanded_32((__mmask16)bits, wide));
}

INLINE void expand_32(const uint8_t *p, uint64_t word, uint8_t *out) {
    for (int u = 0; u < 4; u++, word >>= 16) {
        vec_store((float *)(out + 64 * u), lanes_fp32(p, (unsigned)word));
        p += 4 * __builtin_popcountll(word & 65535);
    }
}

#if NS_ISA == 2

INLINE void expand_8(const uint8_t *p, uint64_t word, uint8_t *out) {
    for (int u = 0; u < 4; u++, word >>= 16) {
        __m512i wide = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p));
        wide = expanded_32((__mmask16)word, wide);
        _mm_storeu_si128((__m128i *)(out + 16 * u), _mm512_cvtepi32_epi8(wide));
        p += __builtin_popcountll(word & 65535);
    }
}

INLINE void expand_16(const uint8_t *p, uint64_t word, uint8_t *out) {
    for (int u = 0; u < 4; u++, word >>= 16) {
        __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
        wide = expanded_32((__mmask16)word, wide);
        _mm256_storeu_si256((__m256i *)(out + 32 * u), _mm512_cvtepi32_epi16(wide));
        p += 2 * __builtin_popcountll(word & 65535);
    }
}

#else

EXPAND(expanded_16, "w", __mmask32)
EXPAND(expanded_8, "b", __mmask64)

INLINE __m512i words_32(const uint8_t *p, uint32_t mask) {
    return expanded_16(mask, _mm512_loadu_si512(p));
}

INLINE __m512i bytes_64(const uint8_t *p, uint64_t word) {
    return expanded_8(word, _mm512_loadu_si512(p));
}

INLINE void expand_8(const uint8_t *p, uint64_t word, uint8_t *out) {
    _mm512_storeu_si512(out, bytes_64(p, word));
}

INLINE void expand_16(const uint8_t *p, uint64_t word, uint8_t *out) {
    _mm512_storeu_si512(out, words_32(p, (uint32_t)word));
    p += bytes_below(word, 32, 2);
    _mm512_storeu_si512(out + 64, words_32(p, (uint32_t)(word >> 32)));
}

#endif
