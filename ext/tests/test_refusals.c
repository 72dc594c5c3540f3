/* Sizes, kinds, offsets and levels that do not fit are refused, and nothing is read past an end. */
#include "check.h"
#include "core.h"

#include <string.h>

static uint8_t bitmap[3 * 16], values[512], out[3 * 100 * 4];
static int64_t offsets[4];
static uint8_t permuted[512];
static uint64_t masks[32];
static int64_t starts[2];
static float x[100], y[3];
static const uint16_t group_scales[16 * 4];

static ns_matrix good(void) {
    ns_matrix m = {.kind = NS_INT8, .rows = 3, .cols = 100, .words = 2,
                   .bitmap = bitmap, .offsets = offsets, .values = values};
    return m;
}

static void refuses(const ns_matrix *m, int64_t count, int code) {
    CHECK(ns_retile(m, count, masks, starts, permuted, NULL, NULL) == code);
    CHECK(ns_expand_float(m, count, (float *)(void *)out, 0, 3) == code);
}

/* Masks and both kinds of offsets must belong to each other. */
static void refuses_halves(void) {
    static const uint64_t some[8] = {7, 1, 0, 255};
    int64_t at[2] = {0, 12}, halved[2], other[2];
    CHECK(ns_halved_offsets(some, 1, 8, halved) == NS_OK && halved[1] == 9);
    CHECK(ns_halved_offsets(some, 1, 7, other) == NS_ERROR_SIZE);
    CHECK(ns_halve(some, 1, 8, at, values, 12, halved, permuted, 9 + 64) == NS_OK);
    CHECK(ns_halve(some, 1, 8, at, values, 11, halved, permuted, 9 + 64) == NS_ERROR_OFFSETS);
    CHECK(ns_halve(some, 1, 8, at, values, 12, halved, permuted, 8) == NS_ERROR_OFFSETS);
    at[1] = 11;
    CHECK(ns_halve(some, 1, 8, at, values, 12, halved, permuted, 9 + 64) == NS_ERROR_OFFSETS);
    at[1] = 12;
    halved[1] = 8;
    CHECK(ns_halve(some, 1, 8, at, values, 12, halved, permuted, 9 + 64) == NS_ERROR_OFFSETS);
}

/* Tiles of int4 values need scales of groups, of whole steps of words. */
static void refuses_tiles(void) {
    static const uint64_t some[8] = {7, 1, 0, 255};
    static const float totals[16];
    int64_t at[2] = {0, 9};
    ns_tiles t = {.kind = NS_INT4, .rows = 16, .cols = 32, .groups = 1, .words = 8, .masks = some,
                  .offsets = at, .values = values, .span = 8, .group_scales = group_scales,
                  .totals = totals};
    CHECK(ns_check_tiles(&t, 9 + 64) == NS_OK);
    CHECK(ns_check_tiles(&t, 9 + 63) == NS_ERROR_OFFSETS);
    t.span = 0;
    CHECK(ns_check_tiles(&t, 9 + 64) == NS_ERROR_KIND);
    t.span = 12;
    CHECK(ns_check_tiles(&t, 9 + 64) == NS_ERROR_SIZE);
    t.span = 8;
    t.totals = NULL;
    CHECK(ns_check_tiles(&t, 9 + 64) == NS_ERROR_SIZE);
    t.totals = totals;
    t.kind = NS_BF16;
    CHECK(ns_check_tiles(&t, 9 + 64) == NS_ERROR_KIND);
    t.kind = NS_INT4;
    at[1] = 12;
    CHECK(ns_check_tiles(&t, 12 + 64) == NS_ERROR_OFFSETS);
}

int main(void) {
    memset(bitmap, 0x11, sizeof bitmap);
    for (int r = 0; r < 3; r++) memset(bitmap + 16 * r + 13, 0, 3);
    bitmap[12] = bitmap[28] = bitmap[44] = 1;
    CHECK(ns_row_offsets(bitmap, 3, 2, offsets) == NS_OK);
    int64_t count = offsets[3] + 64;
    for (int level = 0; level < ns_level_count(); level++) {
        if (!ns_level_runs(level)) continue;
        CHECK(ns_select(ns_level_name(level)) == NS_OK);
        ns_matrix m = good();
        refuses(&m, count, NS_OK);
        refuses(&m, count - 1, NS_ERROR_OFFSETS);
        m.words = 3;
        refuses(&m, count, NS_ERROR_SIZE);
        m = good();
        m.rows = -1;
        refuses(&m, count, NS_ERROR_SIZE);
        m = good();
        m.kind = NS_KINDS;
        refuses(&m, count, NS_ERROR_KIND);
        m = good();
        int64_t other[4] = {0, offsets[1] - 1, offsets[2], offsets[3]};
        m.offsets = other;
        refuses(&m, count, NS_ERROR_OFFSETS);
        other[1] = offsets[3] + 1;
        refuses(&m, count, NS_ERROR_OFFSETS);
        m = good();
        CHECK(ns_expand(&m, 1, count, out, 2, 1) == NS_ERROR_SIZE);
        CHECK(ns_expand(&m, 1, count, out, 0, 4) == NS_ERROR_SIZE);
        CHECK(ns_expand(&m, 2, count, out, 0, 1) == NS_ERROR_KIND);
        m.kind = NS_INT4; /* scales of groups: of a power of two of columns, and there at all */
        refuses(&m, count, NS_OK);
        m.group = 64;
        refuses(&m, count, NS_ERROR_SIZE);
        m.group_scales = group_scales;
        refuses(&m, count, NS_OK);
        m.group = 96;
        refuses(&m, count, NS_ERROR_SIZE);
        m.group = 512;
        refuses(&m, count, NS_ERROR_SIZE);
        m.group = 64;
        m.kind = NS_BF16;
        refuses(&m, count, NS_ERROR_KIND);
        m = good();
        CHECK(ns_widen_int4(values, 10, (int8_t *)out, 0, 20) == NS_OK);
        CHECK(ns_widen_int4(values, 10, (int8_t *)out, 0, 21) == NS_ERROR_SIZE);
        CHECK(ns_widen_int4(values, 10, (int8_t *)out, 5, 4) == NS_ERROR_SIZE);
        refuses_halves();
        refuses_tiles();
        ns_tiles t = {.kind = NS_FP32, .cols = 100, .words = ns_tile_words(100)};
        CHECK(ns_tile_matvec(&t, x, 0, -1, y) == NS_ERROR_SIZE);
        bitmap[14] = 0x80; /* beyond the last column, and one bit more than the offsets say */
        CHECK(ns_pack_values(out, 1, &m, values, count) == NS_ERROR_OFFSETS);
        bitmap[14] = 0;
    }
    CHECK(ns_select("sse9") == NS_ERROR_LEVEL);
    CHECK(ns_select(NULL) == NS_OK);
    for (int code = -1; code <= NS_CODES; code++) CHECK(strlen(ns_strerror(code)) > 0);
    puts("refusals: ok");
    return 0;
}
