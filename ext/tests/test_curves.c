/* Error curves at every level: exact whole numbers, groups of every size, refusals. */
#include "check.h"

#include "../core.h"

#include <stdlib.h>

enum { COLS = 37, LEVELS = 5 };

int main(void) {
    static float weight[COLS], gram[COLS * COLS], work[COLS];
    static int32_t order[COLS];
    int64_t counts[LEVELS] = {0, 3, 3, 18, COLS};
    double out[LEVELS];
    for (int i = 0; i < COLS; i++) {
        weight[i] = (float)(i % 7 - 3);
        order[i] = (i * 5) % COLS;
        for (int j = 0; j < COLS; j++) gram[i * COLS + j] = (float)(i == j ? 9 : (i + j) % 4);
    }
    ns_curves c = {.rows = 1, .cols = COLS, .levels = LEVELS, .weight = weight, .gram = gram,
                   .order = order, .counts = counts, .work = work, .out = out};
    for (int level = 0; level < ns_level_count(); level++) {
        if (!ns_level_runs(level)) continue;
        CHECK(ns_select(ns_level_name(level)) == NS_OK);
        CHECK(ns_error_curves(&c) == NS_OK);
        for (int at = 0; at < LEVELS; at++) {
            double expected = 0.0;
            for (int64_t a = 0; a < counts[at]; a++)
                for (int64_t b = 0; b < counts[at]; b++)
                    expected += (double)weight[order[a]] * weight[order[b]] *
                                gram[order[a] * COLS + order[b]];
            CHECK(out[at] == expected);
        }
        printf("%s: ok\n", ns_level());
    }
    order[3] = COLS;
    CHECK(ns_error_curves(&c) == NS_ERROR_OFFSETS);
    order[3] = 0;
    counts[1] = 4;
    CHECK(ns_error_curves(&c) == NS_ERROR_OFFSETS); /* 0 4 3 */
    c.cols = -1;
    CHECK(ns_error_curves(&c) == NS_ERROR_SIZE);
    return 0;
}
