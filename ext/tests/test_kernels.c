/* Every level against the definition, written out as loops. Buffers are of the exact size that the
 * format promises, so that a sanitizer sees any step beyond it. */
#include "check.h"
#include "core.h"

#include <math.h>

static const int64_t shapes[][2] = {{0, 5}, {1, 1}, {2, 63}, {3, 64}, {4, 65},
                                    {5, 8}, {3, 200}, {37, 130}, {70, 1000}};
static const int sizes[NS_KINDS] = {4, 2, 2, 1, 1};
static const int64_t widths[] = {32, 64, 128, 256};

typedef struct {
    int64_t rows, cols, words, count;
    uint8_t *mask, *bitmap;
    int64_t *offsets;
    float *dense; /* exact in every kind: small integers, taken mod 16 by int4 */
} sample;

static sample make(int64_t rows, int64_t cols, int percent) {
    sample s = {.rows = rows, .cols = cols, .words = (cols + 63) / 64};
    s.mask = malloc((size_t)(rows * cols) + 1);
    s.dense = malloc((size_t)(rows * cols + 1) * sizeof *s.dense);
    s.bitmap = malloc((size_t)(8 * rows * s.words) + 1);
    s.offsets = malloc((size_t)(rows + 1) * sizeof *s.offsets);
    for (int64_t i = 0; i < rows * cols; i++) {
        s.mask[i] = (int)(random_bits() % 100) < percent ? (uint8_t)(1 + random_bits() % 255) : 0;
        s.dense[i] = (float)((int)(random_bits() % 255) - 127);
    }
    CHECK(ns_pack_mask(s.mask, rows, cols, s.bitmap) == NS_OK);
    CHECK(ns_row_offsets(s.bitmap, rows, s.words, s.offsets) == NS_OK);
    return s;
}

static void drop(sample *s) {
    free(s->mask);
    free(s->dense);
    free(s->bitmap);
    free(s->offsets);
}

/* A small integer in the kind's own bits. */
static void encode(int kind, float value, uint8_t *to) {
    uint32_t bits, exponent;
    memcpy(&bits, &value, 4);
    if (kind == NS_FP32) {
        memcpy(to, &bits, 4);
    } else if (kind == NS_INT8 || kind == NS_INT4) {
        *to = (uint8_t)(int8_t)value;
    } else {
        exponent = bits >> 23 & 255;
        uint16_t half = (uint16_t)(bits >> 16);
        if (kind == NS_FP16) {
            half = (uint16_t)(bits >> 16 & 0x8000);
            if (exponent) half |= (uint16_t)((exponent - 112) << 10 | (bits >> 13 & 1023));
        }
        memcpy(to, &half, 2);
    }
}

static void check_bits(const sample *s) {
    int64_t total = 0;
    uint8_t *back = malloc((size_t)(s->rows * s->cols) + 1);
    for (int64_t r = 0; r < s->rows; r++) {
        CHECK(s->offsets[r] == total);
        for (int64_t j = 0; j < 64 * s->words; j++) {
            int bit = s->bitmap[8 * r * s->words + j / 8] >> (j % 8) & 1;
            CHECK(bit == (j < s->cols && s->mask[r * s->cols + j] != 0));
            total += bit;
        }
    }
    CHECK(s->offsets[s->rows] == total);
    CHECK(ns_unpack_mask(s->bitmap, s->rows, s->cols, back) == NS_OK);
    for (int64_t i = 0; i < s->rows * s->cols; i++) CHECK(back[i] == (s->mask[i] != 0));
    free(back);
}

/* The entry of a kind without its scale: int4 holds but the lower four bits. */
static float entry(const sample *s, int kind, int64_t at) {
    int value = (int)s->dense[at];
    return kind == NS_INT4 ? (float)((value + 1024) % 16 - 8) : s->dense[at];
}

/* Scales of groups: a power of two each, of either sign. */
static uint16_t group_scale(int64_t row, int64_t span) {
    return (uint16_t)((row + span) % 3 == 0 ? 0xbe80 : (row + span) % 3 == 1 ? 0x3f00 : 0x3e00);
}

static float scale_at(const ns_matrix *m, int64_t row, int64_t column) {
    if (m->group) return ns_from_half(group_scale(row, column / m->group));
    return m->scales ? m->scales[row] : 1.0f;
}

/* x in parts (kernels/tiles_parts.h) costs 2^-16 of the largest |x| more. */
static void check_within(const ns_matrix *m, const sample *s, const float *x, const float *y,
                         int64_t batch) {
    for (int64_t b = 0; b < batch; b++) {
        double largest = 0;
        for (int64_t j = 0; j < s->cols; j++) largest = fmax(largest, fabs(x[b * s->cols + j]));
        for (int64_t r = 0; r < s->rows; r++) {
            double exact = 0, size = 0, weights = 0;
            for (int64_t j = 0; j < s->cols; j++) {
                if (!s->mask[r * s->cols + j]) continue;
                double weight = scale_at(m, r, j) * entry(s, m->kind, r * s->cols + j);
                exact += weight * x[b * s->cols + j];
                size += fabs(weight * x[b * s->cols + j]);
                weights += fabs(weight);
            }
            int halves = m->kind != NS_FP32 && m->kind != NS_FP16;
            double parts = halves ? 0x1p-16 * largest * weights : 0;
            double error = fabs(y[b * s->rows + r] - exact);
            CHECK(error <= (double)(s->cols + 16) * 0x1p-23 * size + parts);
        }
    }
}

static void check_product(const ns_tiles *t, const ns_matrix *m, const sample *s, int64_t batch) {
    float *x = malloc((size_t)(batch * s->cols + 1) * sizeof *x);
    float *y = malloc((size_t)(batch * s->rows + 1) * sizeof *y);
    for (int64_t i = 0; i < batch * s->cols; i++) x[i] = random_float();
    CHECK(ns_tile_matvec(t, x, 0, batch, y) == NS_OK);
    check_within(m, s, x, y, batch);
    if (t->kind != NS_FP32 && t->kind != NS_FP16) {
        int code = ns_tile_matmul(t, x, 0, batch, y);
        CHECK(code == NS_OK || code == NS_ERROR_LEVEL);
        if (code == NS_OK) check_within(m, s, x, y, batch);
    }
    free(x);
    free(y);
}

/* Scales of groups by groups of rows, as tiles have them. */
static uint16_t *tiled_scales(const ns_matrix *m, int64_t groups) {
    int64_t spans = m->group ? (m->cols + m->group - 1) / m->group : 0;
    uint16_t *scales = calloc((size_t)(groups * spans * NS_TILE_ROWS) + 1, sizeof *scales);
    for (int64_t r = 0; r < m->rows; r++) {
        for (int64_t k = 0; k < spans; k++) {
            scales[(r / NS_TILE_ROWS * spans + k) * NS_TILE_ROWS + r % NS_TILE_ROWS] =
                m->group_scales[r * spans + k];
        }
    }
    return scales;
}

/* Tiles of exactly the promised sizes. */
static void check_tiles(const ns_matrix *m, int64_t count, int item, const sample *s) {
    int64_t groups = ns_tile_groups(m->rows), words = ns_tile_words(m->cols);
    uint64_t *masks = malloc((size_t)(groups * words + 1) * sizeof *masks);
    int64_t *offsets = malloc((size_t)(groups + 1) * sizeof *offsets);
    uint8_t *values = malloc((size_t)(count * item));
    int32_t *sums = malloc((size_t)(m->rows + 1) * sizeof *sums);
    float *totals = malloc((size_t)(m->rows + 1) * sizeof *totals);
    uint16_t *scales = tiled_scales(m, groups);
    CHECK(ns_retile(m, count, masks, offsets, values, m->kind == NS_INT8 ? sums : NULL,
                    m->group ? totals : NULL) == NS_OK);
    int64_t *counted = malloc((size_t)(m->rows + 1) * sizeof *counted);
    uint8_t *again = malloc((size_t)(count * item));
    ns_order orders[2] = {{.code = NS_ERROR_SIZE}, /* left alone: nothing it points to is there */
                          {.m = *m, .value_count = count, .counted = counted, .masks = masks,
                           .offsets = offsets, .values = again,
                           .sums = m->kind == NS_INT8 ? sums : NULL,
                           .totals = m->group ? totals : NULL}};
    orders[1].m.offsets = counted;
    ns_retile_all(orders, 2);
    CHECK(orders[0].code == NS_ERROR_SIZE && orders[1].code == NS_OK);
    CHECK(memcmp(counted, m->offsets, (size_t)(m->rows + 1) * sizeof *counted) == 0);
    CHECK(memcmp(again, values, (size_t)(m->offsets[m->rows] * item)) == 0);
    orders[1].value_count = counted[m->rows];
    ns_retile_all(orders + 1, 1);
    CHECK(orders[1].code == NS_ERROR_OFFSETS);
    free(counted);
    free(again);
    if (m->kind == NS_INT4) {
        int64_t *halved = malloc((size_t)(groups + 1) * sizeof *halved);
        CHECK(ns_halved_offsets(masks, groups, words, halved) == NS_OK);
        uint8_t *both = malloc((size_t)halved[groups] + 64);
        CHECK(ns_halve(masks, groups, words, offsets, values, count, halved, both,
                       halved[groups] + 64) == NS_OK);
        free(values);
        free(offsets);
        values = both;
        offsets = halved;
        count = halved[groups] + 64;
    }
    ns_tiles t = {.kind = m->kind, .rows = m->rows, .cols = m->cols, .groups = groups,
                  .words = words, .masks = masks, .offsets = offsets, .values = values,
                  .scales = m->scales, .sums = sums, .span = m->group / NS_TILE_COLS,
                  .group_scales = scales, .totals = totals};
    CHECK(ns_check_tiles(&t, count) == NS_OK);
    CHECK(ns_check_tiles(&t, count - 1) == NS_ERROR_OFFSETS || offsets[groups] * item % 64 != 0);
    for (int narrow = 0; narrow < 2; narrow++) {
        t.sparse_loads = narrow;
        for (int64_t batch = 0; batch <= 18; batch += batch < 6 ? 1 : 4) {
            check_product(&t, m, s, batch);
        }
    }
    if (groups > 0 && words > 0 && m->kind != NS_INT4) {
        masks[0] ^= 1;
        CHECK(ns_check_tiles(&t, count) == NS_ERROR_OFFSETS);
    }
    free(masks);
    free(offsets);
    free(values);
    free(sums);
    free(totals);
    free(scales);
}

/* As a file holds int4 values, and back from any value on. */
static void check_widening(const uint8_t *values, int64_t nnz) {
    int64_t bytes = (nnz + 1) / 2;
    uint8_t *stored = calloc((size_t)bytes + 1, 1);
    int8_t *back = malloc((size_t)nnz + 1);
    for (int64_t i = 0; i < nnz; i++) stored[i / 2] |= (uint8_t)((values[i] & 15) << 4 * (i % 2));
    uint8_t *exact = malloc((size_t)bytes + (bytes == 0));
    memcpy(exact, stored, (size_t)bytes);
    for (int64_t first = 0; first < 3 && first <= nnz; first++) {
        CHECK(ns_widen_int4(exact, bytes, back, first, nnz) == NS_OK);
        CHECK(memcmp(back, values + first, (size_t)(nnz - first)) == 0);
    }
    free(stored);
    free(exact);
    free(back);
}

static void check_kind(const sample *s, int kind, int64_t group) {
    int item = sizes[kind];
    int64_t nnz = s->offsets[s->rows], cells = s->rows * s->cols;
    int64_t count = ((nnz * item + 63) / 64 * 64 + 64) / item;
    uint8_t *weight = malloc((size_t)(cells * item) + 1), *values = malloc((size_t)(count * item));
    uint8_t *back = malloc((size_t)(cells * item) + 1), zero[4] = {0};
    float *floats = malloc((size_t)(cells + 1) * sizeof *floats);
    float *scales = malloc((size_t)(s->rows + 1) * sizeof *scales);
    int64_t spans = group ? (s->cols + group - 1) / group : 0;
    uint16_t *group_scales = malloc((size_t)(s->rows * spans + 1) * sizeof *group_scales);
    for (int64_t r = 0; r < s->rows; r++) scales[r] = 0.25f;
    for (int64_t i = 0; i < s->rows * spans; i++) group_scales[i] = group_scale(i / spans, i % spans);
    for (int64_t i = 0; i < cells; i++) encode(kind, entry(s, kind, i), weight + i * item);
    ns_matrix m = {.kind = kind, .rows = s->rows, .cols = s->cols, .words = s->words,
                   .bitmap = s->bitmap, .offsets = s->offsets, .values = values,
                   .scales = kind == NS_INT8 && !group ? scales : NULL, .group = group,
                   .group_scales = group ? group_scales : NULL};
    CHECK(ns_pack_values(weight, item, &m, values, count) == NS_OK);
    for (int64_t i = nnz * item; i < count * item; i++) CHECK(values[i] == 0);
    CHECK(ns_expand(&m, item, count, back, 0, s->rows) == NS_OK);
    CHECK(ns_expand_float(&m, count, floats, 0, s->rows) == NS_OK);
    uint16_t *halves = malloc((size_t)(cells + 1) * sizeof *halves);
    CHECK(ns_expand_half(&m, count, halves, 0, s->rows) == NS_OK);
    for (int64_t i = 0; i < cells; i++) CHECK(halves[i] == ns_to_half(floats[i]));
    free(halves);
    for (int64_t i = 0; i < cells; i++) {
        const uint8_t *expected = s->mask[i] ? weight + i * item : zero;
        float value = s->mask[i] ? entry(s, kind, i) * scale_at(&m, i / s->cols, i % s->cols) : 0;
        CHECK(memcmp(back + i * item, expected, (size_t)item) == 0);
        CHECK(floats[i] == value && (value != 0 || !signbit(floats[i])));
    }
    if (kind == NS_INT4) check_widening(values, nnz);
    check_tiles(&m, count, item, s);
    free(weight);
    free(values);
    free(back);
    free(floats);
    free(scales);
    free(group_scales);
}

int main(void) {
    static const int percents[] = {0, 1, 50, 90, 100};
    for (int level = 0; level < ns_level_count(); level++) {
        if (!ns_level_runs(level)) continue;
        CHECK(ns_select(ns_level_name(level)) == NS_OK);
        for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
            for (size_t k = 0; k < sizeof percents / sizeof percents[0]; k++) {
                sample s = make(shapes[i][0], shapes[i][1], percents[k]);
                check_bits(&s);
                for (int kind = 0; kind < NS_INT4; kind++) check_kind(&s, kind, 0);
                for (int w = 0; w < 4; w++) check_kind(&s, NS_INT8, widths[w]);
                for (int w = 0; w < 4; w++) check_kind(&s, NS_INT4, widths[w]);
                drop(&s);
            }
        }
        printf("%s: ok\n", ns_level());
    }
    return 0;
}
