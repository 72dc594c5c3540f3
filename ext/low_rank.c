/* Masked products of low rank: check, then share out rows, or strips of columns for the gradient.
 *
 * A strip is done by one thread from the first row to the last, and the strips' shares of B's
 * gradient are added in their order: no result depends on how many threads there are. */
#include "core.h"

#include <stdlib.h>

enum { CHUNK_ENTRIES = 1 << 14 };

typedef struct {
    const ns_table *table;
    const ns_low_rank *m;
    const void *from;
    void *to;
    float *grad_a;
    int from_halves, to_halves;
} job;

static int fits(const ns_low_rank *m) {
    return m->rows >= 0 && m->cols >= 0 && m->rank >= 0 && m->cols <= INT32_MAX &&
           m->words == (m->cols + 63) / 64;
}

static void add_task(void *context, int64_t first, int64_t last) {
    job *j = context;
    j->table->low_rank_add(j->m, j->from, j->from_halves, j->to, j->to_halves, first, last);
}

int ns_low_rank_add(const ns_low_rank *m, const void *base, int base_halves, void *out,
                    int out_halves) {
    job j = {.table = ns_active(), .m = m, .from = base, .to = out, .from_halves = base_halves,
             .to_halves = out_halves};
    if (!fits(m)) return NS_ERROR_SIZE;
    int64_t chunk = CHUNK_ENTRIES / (m->cols > 0 ? m->cols : 1);
    ns_parallel(m->rows, chunk < 1 ? 1 : chunk, add_task, &j);
    return NS_OK;
}

static void grad_task(void *context, int64_t first, int64_t last) {
    job *j = context;
    j->table->low_rank_grad(j->m, j->from, j->to, j->grad_a, first, last);
}

int ns_low_rank_grad(const ns_low_rank *m, const float *product, float *grad_a, float *grad_b) {
    if (!fits(m)) return NS_ERROR_SIZE;
    int64_t strips = (m->cols + NS_LOW_RANK_STRIP - 1) / NS_LOW_RANK_STRIP;
    int64_t items = m->rows * m->rank;
    if (items == 0) return NS_OK;
    float *dots = malloc((size_t)(strips * items) * sizeof *dots + 1);
    if (dots == NULL) return NS_ERROR_MEMORY;
    job j = {.table = ns_active(), .m = m, .from = product, .to = dots, .grad_a = grad_a};
    ns_parallel(strips, 1, grad_task, &j);
    for (int64_t i = 0; i < items; i++) {
        float sum = 0.0f;
        for (int64_t s = 0; s < strips; s++) sum += dots[s * items + i];
        grad_b[i] = sum * m->scale;
    }
    free(dots);
    return NS_OK;
}
