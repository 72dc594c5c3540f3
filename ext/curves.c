/* Error curves of a whole matrix: check, then share the rows out. */
#include "core.h"

static void curves_task(void *context, int64_t first, int64_t last) {
    ns_active()->curves(context, first, last);
}

int ns_error_curves(const ns_curves *c) {
    if (c->rows < 0 || c->cols < 0 || c->levels < 0 || c->cols > INT32_MAX) return NS_ERROR_SIZE;
    for (int64_t i = 0; i < c->rows * c->cols; i++)
        if (c->order[i] < 0 || c->order[i] >= c->cols) return NS_ERROR_OFFSETS;
    for (int64_t row = 0; row < c->rows; row++) {
        int64_t before = 0;
        for (int64_t level = 0; level < c->levels; level++) {
            int64_t count = c->counts[row * c->levels + level];
            if (count < before || count > c->cols) return NS_ERROR_OFFSETS;
            before = count;
        }
    }
    ns_parallel(c->rows, 4, curves_task, (void *)c);
    return NS_OK;
}
