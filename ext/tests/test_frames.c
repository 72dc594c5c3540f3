/* Combinations of frames at every level: exact small numbers, sizes around the tile, refusals. */
#include "levels.h"

#include <stdlib.h>

static void check_size(int64_t rows, int64_t columns) {
    int64_t n = rows * columns;
    double *a = malloc((size_t)(n + 1) * sizeof *a), *b = malloc((size_t)(n + 1) * sizeof *b);
    double *scaled = malloc((size_t)(n + 1) * sizeof *scaled);
    double *scale = malloc((size_t)(rows + 1) * sizeof *scale);
    for (int64_t i = 0; i < n; i++) a[i] = (double)i, b[i] = 2.0 * (double)i + 1.0;
    for (int64_t i = 0; i < rows; i++) scale[i] = (double)(i % 5);
    scaled[n] = b[n] = -7.0;
    ns_combination c = {.item = 8, .count = 2, .outputs = 1, .scaled_from = 0, .rows = rows,
                        .columns = columns, .sources = {a, b}, .weights = {{3.0, -1.0}},
                        .out = {b}, .scale = scale, .scaled = scaled};
    CHECK(ns_combine(&c) == NS_OK);
    for (int64_t i = 0; i < n; i++) {
        CHECK(b[i] == (double)i - 1.0);
        CHECK(scaled[i] == (double)i * (double)(i % rows % 5));
    }
    CHECK(scaled[n] == -7.0 && b[n] == -7.0);
    free(a);
    free(b);
    free(scaled);
    free(scale);
}

static void check_all(void) {
    static const int64_t sizes[] = {0, 1, 7, 255, 256, 257, 1000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        check_size(sizes[i], 1);
        check_size(sizes[i], 3);
    }
}

int main(void) {
    at_every_level(check_all);
    double one = 1.0;
    ns_combination c = {.item = 8, .count = 1, .outputs = 0, .scaled_from = 0, .rows = 1,
                        .columns = 1, .sources = {&one}, .scaled = &one};
    CHECK(ns_combine(&c) == NS_ERROR_SIZE); /* no scale */
    c.scale = &one;
    CHECK(ns_combine(&c) == NS_OK);
    c.item = 2;
    CHECK(ns_combine(&c) == NS_ERROR_KIND);
    c.item = 8;
    c.count = NS_SOURCES + 1;
    CHECK(ns_combine(&c) == NS_ERROR_SIZE);
    return 0;
}
