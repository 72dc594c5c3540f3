/* Many right-hand sides by the matrix unit: a panel of groups is expanded once a block of columns,
 * stays in the second-level cache, and meets all sides, 32 at a time, whose block of columns stays in
 * the first. The unit holds 32 sides by 32 rows of sums and needs a load a product. */
#include "lanes.h"

#include "amx.h"
#include "tiles_panel.h"

ns_tile_matmul_fn NS_NAME(tile_matmul);

/* Registers of the unit: 0 to 3 sums, [sides][rows]; 4 and 5 sides; 6 and 7 weights. */
enum { SIDES = 32, STEP = 8, WEIGHTS = UNIT_ROWS * 16 };

static unit_shapes shapes_of(int sides) {
    unit_shapes c = {.palette = 1};
    for (int half = 0; half < 2; half++) {
        int rows = sides - UNIT_ROWS * half;
        if (rows <= 0) break;
        if (rows > UNIT_ROWS) rows = UNIT_ROWS;
        set_shape(&c, 2 * half, rows, 64);
        set_shape(&c, 2 * half + 1, rows, 64);
        set_shape(&c, 4 + half, rows, 64);
    }
    set_shape(&c, 6, 16, 64);
    set_shape(&c, 7, 16, 64);
    return c;
}

/* A block of sides: items of 32 bits, `stride` of them from side to side; low parts `low` items on,
 * or nowhere (0). */
typedef struct {
    const uint32_t *x;
    int64_t stride, low;
} block;

/* The unit's sums += sides times two groups of a panel, `steps` times 32 columns. */
INLINE void multiply(const block *b, const uint32_t *left, const uint32_t *right, int64_t steps,
                     const int both) {
    const int64_t stride = 4 * b->stride;
    const uint32_t *x = b->x;
    for (int64_t i = 0; i < steps; i++, x += 16, left += WEIGHTS, right += WEIGHTS) {
        UNIT_LOAD(6, left, 64);
        UNIT_LOAD(4, x, stride);
        UNIT_PAIRS(0, 4, 6);
        UNIT_LOAD(7, right, 64);
        UNIT_PAIRS(1, 4, 7);
        if (both) {
            UNIT_LOAD(5, x + UNIT_ROWS * b->stride, stride);
            UNIT_PAIRS(2, 5, 6);
            UNIT_PAIRS(3, 5, 7);
        }
        if (b->low) {
            UNIT_LOAD(4, x + b->low, stride);
            UNIT_PAIRS(0, 4, 6);
            UNIT_PAIRS(1, 4, 7);
            if (both) {
                UNIT_LOAD(5, x + b->low + UNIT_ROWS * b->stride, stride);
                UNIT_PAIRS(2, 5, 6);
                UNIT_PAIRS(3, 5, 7);
            }
        }
    }
}

INLINE void clear(const int both) {
    UNIT_ZERO(0);
    UNIT_ZERO(1);
    if (!both) return;
    UNIT_ZERO(2);
    UNIT_ZERO(3);
}

/* Sums of 32 rows from side to side of `stride` floats. */
INLINE void take(const float *sums, int64_t stride, const int both) {
    UNIT_LOAD(0, sums, 4 * stride);
    UNIT_LOAD(1, sums + 16, 4 * stride);
    if (!both) return;
    UNIT_LOAD(2, sums + UNIT_ROWS * stride, 4 * stride);
    UNIT_LOAD(3, sums + UNIT_ROWS * stride + 16, 4 * stride);
}

INLINE void give(float *sums, int64_t stride, const int both) {
    UNIT_STORE(0, sums, 4 * stride);
    UNIT_STORE(1, sums + 16, 4 * stride);
    if (!both) return;
    UNIT_STORE(2, sums + UNIT_ROWS * stride, 4 * stride);
    UNIT_STORE(3, sums + UNIT_ROWS * stride + 16, 4 * stride);
}

/* sums += the product of the words first..last, by groups of columns. */
INLINE void multiply_scaled(const ns_tiles *t, int64_t g, int64_t first, int64_t last,
                            const block *b, int sides, const uint32_t *left, const uint32_t *right,
                            float *sums, int64_t stride, const int both) {
    float own[SIDES][32] __attribute__((aligned(64)));
    block at = *b;
    for (int64_t i = first; i < last; i += t->span) {
        int64_t steps = ((last - i < t->span ? last - i : t->span)) / STEP;
        __m512 scale[2] = {column_scales(t, g, i / t->span), column_scales(t, g + 1, i / t->span)};
        clear(both);
        multiply(&at, left, right, steps, both);
        give(own[0], 32, both);
        for (int k = 0; k < sides; k++) {
            float *to = sums + k * stride;
            for (int h = 0; h < 2; h++, to += 16) {
                __m512 sum = _mm512_load_ps(own[k] + 16 * h);
                _mm512_store_ps(to, _mm512_fmadd_ps(sum, scale[h], _mm512_load_ps(to)));
            }
        }
        at.x += 16 * steps;
        left += WEIGHTS * steps;
        right += WEIGHTS * steps;
    }
}

/* A panel's words first..last times one block of sides, added to sums [sides, 16 groups]. */
INLINE void meet(const ns_tiles *t, int64_t g, int groups, int64_t first, int64_t last,
                 const uint32_t *panel, const block *b, int sides, float *sums, const int both) {
    const int64_t stride = NS_TILE_ROWS * groups, own = 32 * (last - first);
    for (int k = 0; k < groups; k += 2, sums += 32) {
        const uint32_t *left = panel + own * k, *right = left + own;
        if (t->span) {
            multiply_scaled(t, g + k, first, last, b, sides, left, right, sums, stride, both);
            continue;
        }
        if (first) take(sums, stride, both);
        else clear(both);
        multiply(b, left, right, (last - first) / STEP, both);
        give(sums, stride, both);
    }
}

/* All sides of one block of words. */
static void meet_all(const ns_tiles *t, const ns_vectors *x, int64_t g, int groups, int64_t first,
                     int64_t last, const uint32_t *panel, float *sums) {
    unit_shapes shapes = shapes_of(x->batch < SIDES ? x->batch : SIDES);
    unit_shape(&shapes);
    for (int b = 0; b < x->batch; b += SIDES, sums += SIDES * NS_TILE_ROWS * groups) {
        int sides = x->batch - b < SIDES ? x->batch - b : SIDES;
        block at = {.x = x->data + b * x->stride + 2 * first, .stride = x->stride,
                    .low = x->low ? 2 * t->words : 0};
        if (b && sides < SIDES) {
            shapes = shapes_of(sides);
            unit_shape(&shapes);
        }
        if (sides > UNIT_ROWS) meet(t, g, groups, first, last, panel, &at, sides, sums, 1);
        else meet(t, g, groups, first, last, panel, &at, sides, sums, 0);
    }
}

/* Equal blocks, no larger than there is room for, of whole groups of columns. */
static int64_t block_words(const ns_tiles *t) {
    int64_t unit = t->span > STEP ? t->span : STEP, units = (t->words + unit - 1) / unit;
    int64_t blocks = (t->words + NS_UNIT_WORDS - 1) / NS_UNIT_WORDS;
    return blocks ? (units + blocks - 1) / blocks * unit : unit;
}

void NS_NAME(tile_matmul)(const ns_tiles *t, const ns_vectors *x, int groups, uint32_t *panel,
                          void *out, int halves, int64_t first, int64_t last) {
    const int64_t words = block_words(t);
    unit_shapes before;
    float *sums = (float *)(panel + NS_PANEL_ITEMS(groups, NS_UNIT_WORDS));
    unit_found(&before);
    for (int64_t g = groups * first; g < groups * last; g += groups) {
        const uint8_t *from[NS_MOST_PANEL][2];
        for (int k = 0; k < groups && g + k < t->groups; k++) {
            from[k][0] = from[k][1] = t->values + ns_item_size(t->kind) * t->offsets[g + k];
        }
        if (t->span || t->words == 0) {
            memset(sums, 0, sizeof *sums * (size_t)(x->batch * NS_TILE_ROWS * groups));
        }
        for (int64_t start = 0, stop; start < t->words; start = stop) {
            stop = start + words < t->words ? start + words : t->words;
            for (int k = 0; k < groups; k++) {
                expand_group(t, g + k, start, stop, from[k], 16, panel + 32 * (stop - start) * k);
            }
            meet_all(t, x, g, groups, start, stop, panel, sums);
        }
        for (int k = 0; k < groups; k++) {
            write_group(t, g + k, sums + NS_TILE_ROWS * k, NS_TILE_ROWS * groups, 0, x->batch, out,
                        halves);
        }
    }
    unit_shape(&before);
}
