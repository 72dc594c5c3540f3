/* Whole operations: check the sizes, then share the rows out among the threads. A row is done by
 * one thread from start to end, so no result depends on how many threads there are. */
#include "core.h"

#include <stdatomic.h>
#include <stdlib.h>

enum {
    CHUNK_BYTES = 1 << 16,  /* streamed by one claim: small enough to even out, large enough to pay */
    OVERREAD_BYTES = 64
};

static const int item_sizes[NS_KINDS] = {4, 2, 2, 1, 1};

/* Rows a chunk, from the bytes that a row of the whole job streams. */
static int64_t chunk_rows(int64_t rows, int64_t bytes) {
    int64_t per_row = rows > 0 ? bytes / rows + 1 : 1;
    int64_t chunk = CHUNK_BYTES / per_row;
    return chunk < 1 ? 1 : chunk;
}

static int words_of(int64_t rows, int64_t cols, int64_t *words) {
    if (rows < 0 || cols < 0 || cols > INT64_MAX - 63) return NS_ERROR_SIZE;
    *words = (cols + 63) / 64;
    return NS_OK;
}

/* Sizes of a matrix and the order of its offsets; the kernels check them against the bitmap. */
static int check(const ns_matrix *m, int item, int64_t value_count) {
    int64_t words;
    if (words_of(m->rows, m->cols, &words) != NS_OK || words != m->words) return NS_ERROR_SIZE;
    if (m->kind < 0 || m->kind >= NS_KINDS || item_sizes[m->kind] != item) return NS_ERROR_KIND;
    if (m->group != 0) {
        if (m->kind != NS_INT8 && m->kind != NS_INT4) return NS_ERROR_KIND;
        if (!ns_is_group(m->group) || m->group_scales == NULL || m->scales) return NS_ERROR_SIZE;
    }
    if (m->offsets[0] != 0 || m->offsets[m->rows] < 0) return NS_ERROR_OFFSETS;
    if (m->offsets[m->rows] > value_count - OVERREAD_BYTES / item) return NS_ERROR_OFFSETS;
    int falls = 0;
    for (int64_t r = 0; r < m->rows; r++) falls |= m->offsets[r + 1] < m->offsets[r];
    return falls ? NS_ERROR_OFFSETS : NS_OK;
}

int ns_check_matrix(const ns_matrix *m, int64_t value_count) {
    if (m->kind < 0 || m->kind >= NS_KINDS) return NS_ERROR_KIND;
    return check(m, item_sizes[m->kind], value_count);
}

static int check_rows(const ns_matrix *m, int64_t first, int64_t last) {
    return first < 0 || last < first || last > m->rows ? NS_ERROR_SIZE : NS_OK;
}

static int outcome(atomic_int *failed) {
    return atomic_load(failed) ? NS_ERROR_OFFSETS : NS_OK;
}

typedef struct {
    const ns_table *table;
    const ns_matrix *m;
    const uint8_t *in;
    uint8_t *out;
    float *floats;
    int64_t *counts;
    int64_t cols, words, first;
    int item;
    atomic_int failed, starved;
} job;

static void pack_mask_task(void *context, int64_t first, int64_t last) {
    job *j = context;
    j->table->pack_mask(j->in, j->cols, j->words, j->out, first, last);
}

int ns_pack_mask(const uint8_t *mask, int64_t rows, int64_t cols, uint8_t *bitmap) {
    job j = {.table = ns_active(), .in = mask, .out = bitmap, .cols = cols};
    if (words_of(rows, cols, &j.words) != NS_OK) return NS_ERROR_SIZE;
    ns_parallel(rows, chunk_rows(1, cols), pack_mask_task, &j);
    return NS_OK;
}

static void unpack_mask_task(void *context, int64_t first, int64_t last) {
    job *j = context;
    j->table->unpack_mask(j->in, j->cols, j->words, j->out, first, last);
}

int ns_unpack_mask(const uint8_t *bitmap, int64_t rows, int64_t cols, uint8_t *mask) {
    job j = {.table = ns_active(), .in = bitmap, .out = mask, .cols = cols};
    if (words_of(rows, cols, &j.words) != NS_OK) return NS_ERROR_SIZE;
    ns_parallel(rows, chunk_rows(1, cols), unpack_mask_task, &j);
    return NS_OK;
}

static void count_rows_task(void *context, int64_t first, int64_t last) {
    job *j = context;
    j->table->count_rows(j->in, j->words, j->counts, first, last);
}

int ns_row_offsets(const uint8_t *bitmap, int64_t rows, int64_t words, int64_t *offsets) {
    job j = {.table = ns_active(), .in = bitmap, .words = words, .counts = offsets + 1};
    if (rows < 0 || words < 0) return NS_ERROR_SIZE;
    ns_parallel(rows, chunk_rows(1, 8 * words), count_rows_task, &j);
    offsets[0] = 0;
    for (int64_t r = 0; r < rows; r++) offsets[r + 1] += offsets[r];
    return NS_OK;
}

static void pack_values_task(void *context, int64_t first, int64_t last) {
    job *j = context;
    if (j->table->pack_values(j->in, j->item, j->m, j->out, first, last)) {
        atomic_store(&j->failed, 1);
    }
}

int ns_pack_values(const uint8_t *weight, int item, const ns_matrix *m, uint8_t *values,
                   int64_t value_count) {
    job j = {.table = ns_active(), .m = m, .in = weight, .out = values, .item = item};
    int code = check(m, item, value_count);
    if (code != NS_OK) return code;
    ns_parallel(m->rows, chunk_rows(1, m->cols * item), pack_values_task, &j);
    int64_t used = m->offsets[m->rows];
    memset(values + used * item, 0, (size_t)((value_count - used) * item));
    return outcome(&j.failed);
}

typedef struct {
    const ns_table *table;
    const uint8_t *stored;
    int8_t *to;
    int64_t first;
} widening;

static void widen_task(void *context, int64_t first, int64_t last) {
    widening *j = context;
    j->table->widen(j->stored, j->to + first, j->first + first, j->first + last);
}

int ns_widen_int4(const uint8_t *stored, int64_t bytes, int8_t *to, int64_t first, int64_t last) {
    widening j = {.table = ns_active(), .stored = stored, .to = to, .first = first};
    if (first < 0 || last < first || last / 2 + last % 2 > bytes) return NS_ERROR_SIZE;
    ns_parallel(last - first, CHUNK_BYTES, widen_task, &j);
    return NS_OK;
}

static void expand_task(void *context, int64_t first, int64_t last) {
    job *j = context;
    uint8_t *out = j->out + first * j->m->cols * j->item;
    if (j->table->expand(j->m, j->item, out, j->first + first, j->first + last)) {
        atomic_store(&j->failed, 1);
    }
}

int ns_expand(const ns_matrix *m, int item, int64_t value_count, uint8_t *out, int64_t first,
              int64_t last) {
    job j = {.table = ns_active(), .m = m, .out = out, .item = item, .first = first};
    int code = check(m, item, value_count);
    if (code == NS_OK) code = check_rows(m, first, last);
    if (code != NS_OK) return code;
    ns_parallel(last - first, chunk_rows(1, m->cols * item), expand_task, &j);
    return outcome(&j.failed);
}

static void expand_float_task(void *context, int64_t first, int64_t last) {
    job *j = context;
    float *out = j->floats + first * j->m->cols;
    if (j->table->expand_float(j->m, out, j->first + first, j->first + last)) {
        atomic_store(&j->failed, 1);
    }
}

int ns_expand_float(const ns_matrix *m, int64_t value_count, float *out, int64_t first,
                    int64_t last) {
    job j = {.table = ns_active(), .m = m, .floats = out, .first = first};
    if (m->kind < 0 || m->kind >= NS_KINDS) return NS_ERROR_KIND;
    int code = check(m, item_sizes[m->kind], value_count);
    if (code == NS_OK) code = check_rows(m, first, last);
    if (code != NS_OK) return code;
    ns_parallel(last - first, chunk_rows(1, m->cols * 4), expand_float_task, &j);
    return outcome(&j.failed);
}

static void expand_half_task(void *context, int64_t first, int64_t last) {
    job *j = context;
    uint16_t *out = (uint16_t *)j->out + first * j->m->cols;
    void *row;
    if (posix_memalign(&row, 64, (size_t)(j->m->cols + 16) * sizeof(float)) != 0) {
        atomic_store(&j->starved, 1);
        return;
    }
    if (j->table->expand_half(j->m, row, out, j->first + first, j->first + last)) {
        atomic_store(&j->failed, 1);
    }
    free(row);
}

int ns_expand_half(const ns_matrix *m, int64_t value_count, uint16_t *out, int64_t first,
                   int64_t last) {
    job j = {.table = ns_active(), .m = m, .out = (uint8_t *)out, .first = first};
    if (m->kind < 0 || m->kind >= NS_KINDS) return NS_ERROR_KIND;
    int code = check(m, item_sizes[m->kind], value_count);
    if (code == NS_OK) code = check_rows(m, first, last);
    if (code != NS_OK) return code;
    ns_parallel(last - first, chunk_rows(1, m->cols * 2), expand_half_task, &j);
    return atomic_load(&j.starved) ? NS_ERROR_MEMORY : outcome(&j.failed);
}
