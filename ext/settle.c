/* A block of columns settled: check, then share the rows of the weight out. */
#include "core.h"

/* A multiple of every level's lanes; fewer rows are done before another thread is awake. */
enum { CHUNK_ROWS = 2048 };

static void settle_task(void *context, int64_t first, int64_t last) {
    ns_active()->settle(context, first, last);
}

int ns_settle_columns(const ns_settle *s) {
    if (s->rows < 0 || s->cols < 0 || s->cols > NS_SETTLE_COLS) return NS_ERROR_SIZE;
    ns_parallel(s->rows, CHUNK_ROWS, settle_task, (void *)s);
    return NS_OK;
}
