/* Columns of a weight settled one after the other: what goes is an error, and the error of each
 * column moves all that follow.
 *
 * A column waits until it is reached and then takes all errors before it at once, in their order, so
 * that it is read and written once; many rows of the weight stand in the lanes and never meet. Every
 * entry sees the same operations in the same order at every level and in the twin. */
#include "wide.h"

/* Sums that wait for each other: four at a time hide it. */
enum { SIDE = 4, LANES = SIDE * WIDE };

/* w - sum_j u[j] e[j], j < count. */
static inline void take(float *w, const float *u, float (*e)[LANES], int64_t count) {
    wide sum[SIDE];
    for (int i = 0; i < SIDE; i++) sum[i] = wide_load(w + i * WIDE);
    for (int64_t j = 0; j < count; j++)
        for (int i = 0; i < SIDE; i++) sum[i] -= u[j] * wide_load(e[j] + i * WIDE);
    for (int i = 0; i < SIDE; i++) wide_store(w + i * WIDE, sum[i]);
}

/* `here` (at most LANES) rows of the weight from `from` on, all columns. */
static void settle(const ns_settle *s, int64_t from, int64_t here) {
    float e[NS_SETTLE_COLS][LANES], w[LANES];
    memset(w, 0, sizeof w);
    for (int64_t k = 0; k < s->cols; k++) {
        const float *u = s->factor + k * s->cols;
        float *column = s->weight + k * s->rows + from, *error = s->errors + k * s->rows + from;
        const uint8_t *gone = s->gone + k * s->rows + from;
        memcpy(w, column, (size_t)here * sizeof *w);
        take(w, u, e, k);
        for (int64_t l = 0; l < here; l++) {
            float lost = gone[l] ? w[l] : 0.0f;
            e[k][l] = lost / u[k];
            column[l] = gone[l] ? 0.0f : w[l];
        }
        memset(e[k] + here, 0, (size_t)(LANES - here) * sizeof *w);
        memcpy(error, e[k], (size_t)here * sizeof *w);
    }
}

void NS_NAME(settle)(const ns_settle *s, int64_t first, int64_t last) {
    for (int64_t from = first; from < last; from += LANES)
        settle(s, from, last - from < LANES ? last - from : LANES);
}
