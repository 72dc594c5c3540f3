/* Whole operations on frames of tangent vectors: check, then share the columns out. */
#include "core.h"

enum { CHUNK_BYTES = 1 << 16 };

static void combine_task(void *context, int64_t first, int64_t last) {
    ns_active()->combine(context, first, last);
}

int ns_combine(const ns_combination *c) {
    if (c->rows < 0 || c->columns < 0 || c->count < 1 || c->count > NS_SOURCES || c->outputs < 0 ||
        c->outputs > NS_COMBINED || c->scaled_from < -1 || c->scaled_from >= c->count)
        return NS_ERROR_SIZE;
    if (c->item != 4 && c->item != 8) return NS_ERROR_KIND;
    if (c->scaled != NULL && (c->scale == NULL || (c->scaled_from < 0 && c->outputs < 1)))
        return NS_ERROR_SIZE;
    int64_t bytes = c->rows * c->item * (c->count + c->outputs + (c->scaled != NULL));
    int64_t chunk = bytes > 0 ? CHUNK_BYTES / bytes : 1;
    ns_parallel(c->columns, chunk < 1 ? 1 : chunk, combine_task, (void *)c);
    return NS_OK;
}
