/* x in the parts that the instructions on pairs and quads take, so that little is lost.
 *
 * For bf16 values x = high + low with bf16 halves; what is left is below 2^-16 |x|, and bf16
 * activations have no low part. For int8 values x becomes 16-bit integers, whose upper and lower
 * bytes are two unsigned vectors; what is left is below 2^-16 of the vector's largest |x|. */
#ifndef NEUROSPARSE_TILES_PARTS_H
#define NEUROSPARSE_TILES_PARTS_H

#define UNROLL _Pragma("GCC unroll 16")
enum { PREFETCH = 4096 };

INLINE __m512i broadcast_32(const uint32_t *x) { return _mm512_set1_epi32((int)*x); }

/* Up to half a register of items, or a whole one. */
INLINE __m512i loaded(const uint8_t *p, int bytes, const int narrow) {
    if (narrow && bytes <= 32) {
        return _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)p));
    }
    return _mm512_loadu_si512(p);
}

/* The same of bytes; nibbles stand two in one (kernels.h), those of odd words in the upper half. */
INLINE __m512i bytes_of_word(const uint8_t *p, int bytes, const int nibbles, const int upper,
                             const int narrow) {
    __m512i w = loaded(p, bytes, narrow);
    if (!nibbles) return w;
    if (!upper) w = _mm512_slli_epi16(w, 4);
    return _mm512_and_si512(w, _mm512_set1_epi8(-16));
}

/* Which of a group's sixteen rows are of the matrix; none beyond it. */
INLINE __mmask16 rows_in(const ns_tiles *t, int64_t g) {
    int64_t left = t->rows - NS_TILE_ROWS * g;
    return left >= NS_TILE_ROWS ? 0xffff : left <= 0 ? 0 : (__mmask16)((1u << left) - 1);
}

/* Scales of a group's rows; one where it has none of them. */
INLINE __m512 row_scales(const ns_tiles *t, int64_t g) {
    if (t->scales == NULL) return _mm512_set1_ps(1);
    return _mm512_maskz_loadu_ps(rows_in(t, g), t->scales + NS_TILE_ROWS * g);
}

/* Sixteen bf16 numbers. */
INLINE __m512 halves_as_floats(const uint16_t *at) {
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)at));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

/* What integer sums of a row stand for: x is 256 upper + lower - 32768, times a step. */
INLINE float sum_of_bytes(const ns_tiles *t, int64_t row, int64_t upper, int64_t lower, double step) {
    int64_t own = row < t->rows ? t->sums[row] : 0;
    return (float)((double)(256 * upper + lower - 32768 * own) * step);
}

/* int32 sums of 255 * 127 a column hold so many columns; groups of columns are few enough. */
static inline int takes_bytes(const ns_tiles *t) {
    return t->span || (t->kind == NS_INT8 && t->cols <= 65536);
}

/* bf16 halves in pairs: the high parts of all columns, then the low parts; returns whether any of
 * those is not zero. */
static inline int prepare_pairs(const ns_tiles *t, const float *x, uint32_t *to) {
    uint16_t *high = (uint16_t *)to, *low = high + NS_TILE_COLS * t->words;
    __m256i any = _mm256_setzero_si256();
    for (int64_t i = 0; i < NS_TILE_COLS * t->words; i += 16) {
        int64_t left = t->cols - i;
        __mmask16 in = left >= 16 ? 0xffff : left <= 0 ? 0 : (__mmask16)((1u << left) - 1);
        __m512 v = in ? _mm512_maskz_loadu_ps(in, x + i) : _mm512_setzero_ps();
        __m256i top = (__m256i)_mm512_cvtneps_pbh(v);
        __m512 back = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(top), 16));
        /* Infinite: nothing is left (and inf - inf would be NaN). */
        __mmask16 finite = _mm512_cmp_ps_mask(_mm512_abs_ps(back), _mm512_set1_ps(__builtin_inff()),
                                              _CMP_LT_OQ);
        __m256i rest = (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_sub_ps(finite, v, back));
        _mm256_storeu_si256((__m256i *)(high + i), top);
        _mm256_storeu_si256((__m256i *)(low + i), rest);
        any = _mm256_or_si256(any, rest);
    }
    return _mm256_test_epi16_mask(any, _mm256_set1_epi16(0x7fff)) != 0;
}

/* The same of bf16 activations, which are pairs already. */
static inline int prepare_halves(const ns_tiles *t, const uint16_t *x, uint32_t *to) {
    memcpy(to, x, (size_t)t->cols * sizeof *x);
    memset((uint16_t *)to + t->cols, 0,
           (size_t)(NS_TILE_COLS * t->words - t->cols) * sizeof *x);
    return 0;
}

/* 16-bit integers: upper bytes of all columns, then lower bytes, then the step. */
static inline int prepare_bytes(const ns_tiles *t, const float *x, uint32_t *to) {
    const int64_t items = NS_TILE_COLS * t->words;
    uint8_t *high = (uint8_t *)to, *low = high + items;
    uint32_t largest = 0;
    float step, scale = 0;
    for (int64_t i = 0; i < t->cols; i++) { /* sizes are ordered as their bits are */
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        bits &= 0x7fffffff;
        largest = bits > largest ? bits : largest;
    }
    memcpy(&step, &largest, sizeof step);
    if (step >= 0x1p-100f && largest < 0x7f800000) scale = 32767 / step;
    const __m512i middle = _mm512_set1_epi32(32768);
    for (int64_t i = 0; i < items; i += 16) {
        int64_t left = t->cols - i;
        __mmask16 in = left >= 16 ? 0xffff : left <= 0 ? 0 : (__mmask16)((1u << left) - 1);
        __m512 v = in ? _mm512_maskz_loadu_ps(in, x + i) : _mm512_setzero_ps();
        __m512i q = _mm512_cvtps_epi32(_mm512_mul_ps(v, _mm512_set1_ps(scale)));
        q = _mm512_add_epi32(q, middle);
        _mm_storeu_si128((__m128i *)(high + i), _mm512_cvtepi32_epi8(_mm512_srli_epi32(q, 8)));
        _mm_storeu_si128((__m128i *)(low + i), _mm512_cvtepi32_epi8(q));
    }
    /* An infinite or NaN entry makes everything NaN. */
    step = largest < 0x7f800000 ? (scale > 0 ? step / 32767 : 0) : __builtin_nanf("");
    memcpy(to + items, &step, sizeof step);
    return 1;
}

#endif
