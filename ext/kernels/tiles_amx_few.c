/* Up to sixteen right-hand sides by the matrix unit: a group's words are expanded, sixteen registers
 * at a time, into the first-level cache, where the unit reads them while the next are expanded. What
 * a word costs is its expansion, whatever the batch. */
#include "lanes.h"

#include "amx.h"
#include "tiles_parts.h"

ns_tile_matvec_fn NS_SHARED(tile_matvec), NS_NAME(tile_matvec);

enum { MOST_SIDES = 16, STEP_BYTES = UNIT_ROWS * UNIT_BYTES };

/* Registers of the unit: 0 and 1 sums (of upper and lower bytes of x), 2 a part of x, 3 weights; 4
 * and 5 the same of half a step, which is eight words of bytes. */
static unit_shapes shapes_of(int sides) {
    unit_shapes c = {.palette = 1};
    for (int k = 0; k < 3; k++) set_shape(&c, k, sides, 64);
    set_shape(&c, 3, 16, 64);
    set_shape(&c, 4, sides, 32);
    set_shape(&c, 5, 8, 64);
    return c;
}

/* Some sides of a product. x comes as tiles_parts.h makes it: high and low halves, upper and lower
 * bytes; `lower` is NULL where it is zero. */
typedef struct {
    const ns_tiles *t;
    const uint8_t *upper, *lower;
    int64_t stride;  /* bytes from side to side */
    int sides;
} product;

/* Where a group's words and values are read next; int4 values have two places (kernels.h). */
typedef struct {
    const uint64_t *masks;
    const uint8_t *p[2];
} source;

static source source_of(const ns_tiles *t, int64_t g) {
    const uint8_t *p = t->values + t->offsets[g] * ns_item_size(t->kind);
    return (source){.masks = t->masks ? t->masks + g * t->words : NULL, .p = {p, p}};
}

/* The next eight words of pairs. */
INLINE void spread_pairs(source *s, const int dense, const int narrow, uint8_t *to) {
    const uint8_t *p = s->p[0];
    if (!dense) __builtin_prefetch(s->masks + PREFETCH / 32);
    UNROLL for (int k = 0; k < 8; k++) {
        UNROLL for (int j = 0; j < 2; j++) {
            uint32_t bits = dense ? 0 : (uint32_t)(s->masks[k] >> (32 * j));
            int bytes = dense ? 64 : 2 * __builtin_popcount(bits);
            __m512i w = loaded(p, bytes, narrow);
            if (!dense) w = expanded_16(bits, w);
            _mm512_store_si512(to + 128 * k + 64 * j, w);
            if (j == 0 || dense) __builtin_prefetch(p + PREFETCH);
            p += bytes;
        }
    }
    s->p[0] = p;
    s->masks += dense ? 0 : 8;
}

/* The next `words` words of quads. */
INLINE void spread_quads(source *s, const int words, const int nibbles, const int dense,
                         const int narrow, uint8_t *to) {
    if (!dense) __builtin_prefetch(s->masks + PREFETCH / 32);
    UNROLL for (int k = 0; k < words; k++) {
        const int odd = k % 2, stream = nibbles ? odd : 0;
        const uint8_t *p = s->p[stream];
        uint64_t bits = dense ? 0 : s->masks[k];
        int bytes = dense ? 64 : __builtin_popcountll(bits);
        __m512i w = bytes_of_word(p, bytes, nibbles, odd, narrow);
        if (!dense) w = expanded_8(bits, w);
        _mm512_store_si512(to + 64 * k, w);
        if (dense ? stream == 0 : !odd && (!nibbles || k % 4 == 0)) __builtin_prefetch(p + PREFETCH);
        s->p[stream] = p + bytes;
    }
    s->masks += dense ? 0 : words;
}

INLINE void pairs_of_group(const product *f, int64_t g, const int dense, const int narrow,
                           float *sums) {
    uint8_t buffer[2][STEP_BYTES] __attribute__((aligned(64)));
    const int64_t steps = f->t->words / 8;
    source s = source_of(f->t, g);
    UNIT_ZERO(0);
    if (steps) spread_pairs(&s, dense, narrow, buffer[0]);
    for (int64_t i = 0; i < steps; i++) {
        if (i + 1 < steps) spread_pairs(&s, dense, narrow, buffer[(i + 1) % 2]);
        UNIT_LOAD(3, buffer[i % 2], 64);
        UNIT_LOAD(2, f->upper + 64 * i, f->stride);
        UNIT_PAIRS(0, 2, 3);
        if (f->lower) {
            UNIT_LOAD(2, f->lower + 64 * i, f->stride);
            UNIT_PAIRS(0, 2, 3);
        }
    }
    UNIT_STORE(0, sums, 64);
}

/* Integer sums of words first..last, which the source is at, to sums[2][sides][16]. */
INLINE void quads_of_words(const product *f, source *s, int64_t first, int64_t last,
                           const int nibbles, const int dense, const int narrow, int32_t *sums) {
    uint8_t buffer[2][STEP_BYTES] __attribute__((aligned(64)));
    const int64_t steps = (last - first) / 16;
    const uint8_t *upper = f->upper + 4 * first, *lower = f->lower + 4 * first;
    UNIT_ZERO(0);
    UNIT_ZERO(1);
    if (steps) spread_quads(s, 16, nibbles, dense, narrow, buffer[0]);
    for (int64_t i = 0; i < steps; i++, upper += 64, lower += 64) {
        if (i + 1 < steps) spread_quads(s, 16, nibbles, dense, narrow, buffer[(i + 1) % 2]);
        UNIT_LOAD(3, buffer[i % 2], 64);
        UNIT_LOAD(2, upper, f->stride);
        UNIT_QUADS(0, 2, 3);
        UNIT_LOAD(2, lower, f->stride);
        UNIT_QUADS(1, 2, 3);
    }
    if ((last - first) % 16) {
        spread_quads(s, 8, nibbles, dense, narrow, buffer[steps % 2]);
        UNIT_LOAD(5, buffer[steps % 2], 64);
        UNIT_LOAD(4, upper, f->stride);
        UNIT_QUADS(0, 4, 5);
        UNIT_LOAD(4, lower, f->stride);
        UNIT_QUADS(1, 4, 5);
    }
    UNIT_STORE(0, sums, 64);
    UNIT_STORE(1, sums + MOST_SIDES * NS_TILE_ROWS, 64);
}

/* The step of a side's 16-bit integers. */
static float step_of(const product *f, int side) {
    float step;
    memcpy(&step, f->upper + side * f->stride + 4 * NS_TILE_COLS * f->t->words, sizeof step);
    return step;
}

INLINE void quads_of_group(const product *f, int64_t g, const int dense, const int narrow,
                           float *sums) {
    int32_t whole[2][MOST_SIDES][NS_TILE_ROWS] __attribute__((aligned(64)));
    const ns_tiles *t = f->t;
    source s = source_of(t, g);
    quads_of_words(f, &s, 0, t->words, 0, dense, narrow, whole[0][0]);
    for (int k = 0; k < f->sides; k++) {
        double step = step_of(f, k);
        for (int r = 0; r < NS_TILE_ROWS; r++) {
            sums[NS_TILE_ROWS * k + r] = sum_of_bytes(t, NS_TILE_ROWS * g + r, whole[0][k][r],
                                                      whole[1][k][r], step);
        }
    }
}

/* Groups of columns have scales: their sums are scaled one after the other (tiles_dot_groups.h). */
INLINE void scaled_of_group(const product *f, int64_t g, const int nibbles, const int dense,
                            const int narrow, float *sums) {
    int32_t whole[2][MOST_SIDES][NS_TILE_ROWS] __attribute__((aligned(64)));
    const ns_tiles *t = f->t;
    const uint16_t *scales = t->group_scales + g * ns_tile_spans(t) * NS_TILE_ROWS;
    source s = source_of(t, g);
    __m512 total[MOST_SIDES];
    for (int k = 0; k < f->sides; k++) total[k] = _mm512_setzero_ps();
    for (int64_t i = 0; i < t->words; i += t->span, scales += NS_TILE_ROWS) {
        int64_t end = i + t->span < t->words ? i + t->span : t->words;
        quads_of_words(f, &s, i, end, nibbles, dense, narrow, whole[0][0]);
        __m512 scale = halves_as_floats(scales);
        for (int k = 0; k < f->sides; k++) {
            __m512i both = _mm512_slli_epi32(_mm512_load_si512(whole[0][k]), 8);
            both = _mm512_add_epi32(both, _mm512_load_si512(whole[1][k]));
            total[k] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(both), scale, total[k]);
        }
    }
    __m512 own = _mm512_maskz_loadu_ps(rows_in(t, g), t->totals + NS_TILE_ROWS * g);
    own = _mm512_mul_ps(own, _mm512_set1_ps(32768));
    for (int k = 0; k < f->sides; k++) {
        __m512 sum = _mm512_fmsub_ps(total[k], _mm512_set1_ps(nibbles ? 0.0625f : 1.0f), own);
        sum = _mm512_mul_ps(sum, _mm512_set1_ps(step_of(f, k)));
        _mm512_store_ps(sums + NS_TILE_ROWS * k, sum);
    }
}

INLINE void bytes_of_group(const product *f, int64_t g, const int dense, const int narrow,
                           float *sums) {
    scaled_of_group(f, g, 0, dense, narrow, sums);
}
INLINE void nibbles_of_group(const product *f, int64_t g, const int dense, const int narrow,
                             float *sums) {
    scaled_of_group(f, g, 1, dense, narrow, sums);
}

#define BY_DENSITY(name)                                                                    \
    static void name##_any(const product *f, int64_t g, float *sums) {                      \
        if (f->t->masks == NULL) name(f, g, 1, 0, sums);                                    \
        else if (f->t->sparse_loads) name(f, g, 0, 1, sums);                                \
        else name(f, g, 0, 0, sums);                                                        \
    }

BY_DENSITY(pairs_of_group)
BY_DENSITY(quads_of_group)
BY_DENSITY(bytes_of_group)
BY_DENSITY(nibbles_of_group)

/* Sums of one group, [sides, 16]. */
static void group_of(const product *f, int64_t g, float *sums) {
    if (f->t->kind == NS_BF16) pairs_of_group_any(f, g, sums);
    else if (f->t->kind == NS_INT4) nibbles_of_group_any(f, g, sums);
    else if (f->t->span) bytes_of_group_any(f, g, sums);
    else quads_of_group_any(f, g, sums);
}

/* What needs no expanding meets one side sooner in registers, and so do bytes; few sides, too, where
 * sums are scaled every few words. */
static int pays(const ns_tiles *t, int sides) {
    if (t->kind == NS_BF16) return t->masks != NULL || sides > 1;
    return takes_bytes(t) && sides >= (t->span == 0 ? 2 : t->span > 16 ? 3 : 6);
}

void NS_NAME(tile_matvec)(const ns_tiles *t, const ns_vectors *x, float *out, int64_t stride,
                          int64_t first, int64_t last) {
    if (!pays(t, x->batch)) {
        NS_SHARED(tile_matvec)(t, x, out, stride, first, last);
        return;
    }
    for (int b = 0; b < x->batch; b += MOST_SIDES) {
        int sides = x->batch - b < MOST_SIDES ? x->batch - b : MOST_SIDES;
        const uint8_t *at = (const uint8_t *)(x->data + b * x->stride);
        const uint8_t *lower = at + (t->kind == NS_BF16 ? 2 : 1) * NS_TILE_COLS * t->words;
        product f = {.t = t, .upper = at, .lower = x->low ? lower : NULL,
                     .stride = 4 * x->stride, .sides = sides};
        unit_shapes shapes = shapes_of(sides), before;
        unit_found(&before);
        unit_shape(&shapes);
        for (int64_t g = first; g < last; g++) {
            float sums[MOST_SIDES * NS_TILE_ROWS] __attribute__((aligned(64)));
            const __mmask16 in = rows_in(t, g);
            const __m512 scale = row_scales(t, g);
            group_of(&f, g, sums);
            for (int k = 0; k < sides; k++) {
                __m512 sum = _mm512_mul_ps(_mm512_load_ps(sums + NS_TILE_ROWS * k), scale);
                _mm512_mask_storeu_ps(out + (b + k) * stride + NS_TILE_ROWS * g, in, sum);
            }
        }
        unit_shape(&before);
    }
}
