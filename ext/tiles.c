/* Matrices in tile order: made once from row order, then multiplied. */
#include "core.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { STACK_WORDS = 8192, MOST_VECTORS = 64 };

int64_t ns_tile_words(int64_t cols) {
    int64_t words = (cols + NS_TILE_COLS - 1) / NS_TILE_COLS;
    return (words + NS_TILE_STEP - 1) / NS_TILE_STEP * NS_TILE_STEP;
}

int64_t ns_tile_groups(int64_t rows) { return (rows + NS_TILE_ROWS - 1) / NS_TILE_ROWS; }

typedef struct {
    const ns_table *table;
    const ns_matrix *m;
    int64_t words;
    uint64_t *masks;
    uint8_t *values;
    int32_t *sums;
    float *totals;
    atomic_int failed;
} retiling;

static void retile_task(void *context, int64_t first, int64_t last) {
    retiling *j = context;
    if (j->table->retile(j->m, j->words, j->masks, j->values, j->sums, j->totals, first, last)) {
        atomic_store(&j->failed, 1);
    }
}

int ns_retile(const ns_matrix *m, int64_t value_count, uint64_t *masks, int64_t *offsets,
              uint8_t *values, int32_t *sums, float *totals) {
    retiling j = {.table = ns_active(), .m = m, .words = ns_tile_words(m->cols), .masks = masks,
                  .values = values, .sums = sums, .totals = totals};
    int64_t groups = ns_tile_groups(m->rows);
    int code = ns_check_matrix(m, value_count);
    if (code != NS_OK) return code;
    if (totals && (m->group == 0 || m->group_scales == NULL)) return NS_ERROR_SIZE;
    for (int64_t g = 0; g < groups; g++) offsets[g] = m->offsets[NS_TILE_ROWS * g];
    offsets[groups] = m->offsets[m->rows];
    ns_parallel(groups, 4, retile_task, &j);
    return atomic_load(&j.failed) ? NS_ERROR_OFFSETS : NS_OK;
}

/* Whole pages inside: what shares a page with something else stays. */
static void give_back(const void *from, int64_t bytes) {
#ifdef __linux__
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), at = (uintptr_t)from;
    const uintptr_t first = (at + page - 1) / page * page, last = (at + (uintptr_t)bytes) / page * page;
    if (first < last) madvise((void *)first, last - first, MADV_DONTNEED);
#else
    (void)from;
    (void)bytes;
#endif
}

static void order_task(void *context, int64_t first, int64_t last) {
    for (ns_order *o = (ns_order *)context + first; first < last; o++, first++) {
        if (o->code != NS_OK) continue;
        o->code = ns_row_offsets(o->m.bitmap, o->m.rows, o->m.words, o->counted);
        if (o->code != NS_OK) continue;
        o->code = ns_retile(&o->m, o->value_count, o->masks, o->offsets, o->values, o->sums,
                            o->totals);
        if (o->code != NS_OK || !o->mapped) continue;
        give_back(o->m.bitmap, o->m.rows * o->m.words * 8);
        give_back(o->m.values, o->value_count * ns_item_size(o->m.kind));
    }
}

void ns_retile_all(ns_order *orders, int64_t count) { ns_parallel(count, 1, order_task, orders); }

typedef struct {
    const ns_table *table;
    const uint64_t *masks;
    int64_t words;
    const int64_t *offsets, *halved;
    const uint8_t *from;
    uint8_t *to;
} halving;

static void halve_task(void *context, int64_t first, int64_t last) {
    halving *j = context;
    j->table->halve(j->masks, j->words, j->offsets, j->from, j->halved, j->to, first, last);
}

/* Set bits of a group's even and odd words. */
static void word_counts(const uint64_t *masks, int64_t words, int64_t group, int64_t *counts) {
    counts[0] = counts[1] = masks ? 0 : 32 * words;
    for (int64_t i = 0; masks && i < words; i++) {
        counts[i % 2] += __builtin_popcountll(masks[group * words + i]);
    }
}

int ns_halved_offsets(const uint64_t *masks, int64_t groups, int64_t words, int64_t *halved) {
    int64_t counts[2];
    if (groups < 0 || words < 0 || words % 2) return NS_ERROR_SIZE;
    halved[0] = 0;
    for (int64_t g = 0; g < groups; g++) {
        word_counts(masks, words, g, counts);
        halved[g + 1] = halved[g] + (counts[0] > counts[1] ? counts[0] : counts[1]);
    }
    return NS_OK;
}

int ns_halve(const uint64_t *masks, int64_t groups, int64_t words, const int64_t *offsets,
             const uint8_t *from, int64_t count, const int64_t *halved, uint8_t *to,
             int64_t halved_count) {
    halving j = {.table = ns_active(), .masks = masks, .words = words, .offsets = offsets,
                 .halved = halved, .from = from, .to = to};
    int64_t counts[2];
    if (groups < 0 || words < 0 || words % 2) return NS_ERROR_SIZE;
    if (offsets[0] != 0 || halved[0] != 0) return NS_ERROR_OFFSETS;
    for (int64_t g = 0; g < groups; g++) {
        word_counts(masks, words, g, counts);
        int64_t longer = counts[0] > counts[1] ? counts[0] : counts[1];
        if (offsets[g + 1] - offsets[g] != counts[0] + counts[1]
            || halved[g + 1] - halved[g] != longer) {
            return NS_ERROR_OFFSETS;
        }
    }
    if (offsets[groups] > count || halved[groups] > halved_count) return NS_ERROR_OFFSETS;
    ns_parallel(groups, 4, halve_task, &j);
    memset(to + halved[groups], 0, (size_t)(halved_count - halved[groups]));
    return NS_OK;
}

/* Values of a group as its offsets count them: items, or of int4 bytes. */
static int64_t group_count(const ns_tiles *t, int64_t group) {
    int64_t counts[2];
    word_counts(t->masks, t->words, group, counts);
    if (t->kind != NS_INT4) return counts[0] + counts[1];
    return counts[0] > counts[1] ? counts[0] : counts[1];
}

typedef struct {
    const ns_tiles *t;
    atomic_int failed;
} checking;

static void check_task(void *context, int64_t first, int64_t last) {
    checking *j = context;
    for (int64_t g = first; g < last; g++) {
        if (j->t->offsets[g + 1] - j->t->offsets[g] != group_count(j->t, g)) {
            atomic_store(&j->failed, 1);
        }
    }
}

int ns_check_tiles(const ns_tiles *t, int64_t value_count) {
    const int item = ns_item_size(t->kind);
    checking j = {.t = t};
    if (t->kind == NS_INT4 && t->span == 0) return NS_ERROR_KIND;
    if (t->span != 0) {
        if (t->kind != NS_INT4 && t->kind != NS_INT8) return NS_ERROR_KIND;
        if (!ns_is_group(NS_TILE_COLS * t->span)) return NS_ERROR_SIZE;
        if (t->group_scales == NULL || t->totals == NULL) return NS_ERROR_SIZE;
    }
    if (t->offsets[0] != 0 || t->offsets[t->groups] > value_count - 64 / item) {
        return NS_ERROR_OFFSETS;
    }
    ns_parallel(t->groups, 16, check_task, &j);
    return atomic_load(&j.failed) ? NS_ERROR_OFFSETS : NS_OK;
}

typedef struct {
    const ns_table *table;
    const ns_tiles *t;
    const ns_vectors *x;
    float *out;
    uint16_t *halves;  /* where the result goes instead, if not NULL */
} product;

static void product_task(void *context, int64_t first, int64_t last) {
    product *j = context;
    int64_t rows = j->t->rows;
    j->table->tile_matvec(j->t, j->x, j->out, rows, first, last);
    if (j->halves == NULL) return;
    int64_t end = NS_TILE_ROWS * last < rows ? NS_TILE_ROWS * last : rows;
    for (int b = 0; b < j->x->batch; b++) {
        for (int64_t r = NS_TILE_ROWS * first; r < end; r++) {
            j->halves[b * rows + r] = ns_to_half(j->out[b * rows + r]);
        }
    }
}

/* Groups a chunk: some a thread, so that they end together, but of a size that pays for taking one,
 * which costs a trip between two cores. */
enum { CHUNK_BYTES = 1 << 18, FEWEST = 2, MOST = 8 };

static int64_t chunk_groups(int64_t groups, int64_t bytes) {
    int64_t threads = ns_threads(), chunks = bytes / CHUNK_BYTES;
    if (chunks < FEWEST * threads) chunks = FEWEST * threads;
    if (chunks > MOST * threads) chunks = MOST * threads;
    return (groups + chunks - 1) / chunks;
}

static int64_t bytes_of(const ns_tiles *t) {
    return t->offsets[t->groups] * ns_item_size(t->kind)
           + (t->masks ? 8 * t->groups * t->words : 0);
}

/* Scratch of a call: vectors, room to widen one, results in float32 where halves are wanted. */
typedef struct {
    uint32_t *vectors;
    float *widened, *floats;
    void *allocated;
} scratch;

static int get_scratch(scratch *s, uint32_t *stack, const ns_tiles *t, int64_t stride,
                       int64_t batch, int halves) {
    int64_t results = halves ? batch * t->rows : 0;
    int64_t items = batch * stride + t->cols + results;
    s->allocated = NULL;
    s->vectors = stack;
    if (items > STACK_WORDS) {
        if (posix_memalign(&s->allocated, 64, (size_t)items * sizeof *stack) != 0) {
            return NS_ERROR_MEMORY;
        }
        s->vectors = s->allocated;
    }
    s->widened = (float *)(s->vectors + batch * stride);
    s->floats = s->widened + t->cols;
    return NS_OK;
}

static const void *vector_at(const ns_tiles *t, const void *x, int halves, int64_t at) {
    return (const uint8_t *)x + at * t->cols * (halves ? 2 : 4);
}

int ns_tile_matvec(const ns_tiles *t, const void *x, int halves, int64_t batch, void *out) {
    uint32_t stack[STACK_WORDS] __attribute__((aligned(64)));
    const ns_table *table = ns_active();
    ns_vectors v = {.stride = NS_TILE_COLS * t->words + NS_TILE_ROWS};
    product j = {.table = table, .t = t, .x = &v};
    scratch s;
    if (batch < 0) return NS_ERROR_SIZE;
    int code = get_scratch(&s, stack, t, v.stride, batch < MOST_VECTORS ? batch : MOST_VECTORS,
                           halves);
    if (code != NS_OK) return code;
    v.data = s.vectors;
    for (int64_t b = 0; b < batch; b += MOST_VECTORS) {
        v.batch = (int)(batch - b < MOST_VECTORS ? batch - b : MOST_VECTORS);
        v.low = 0;
        for (int k = 0; k < v.batch; k++) {
            v.low |= table->tile_prepare(t, vector_at(t, x, halves, b + k), halves, s.widened,
                                         v.data + k * v.stride);
        }
        j.out = halves ? s.floats : (float *)out + b * t->rows;
        j.halves = halves ? (uint16_t *)out + b * t->rows : NULL;
        ns_parallel(t->groups, chunk_groups(t->groups, bytes_of(t)), product_task, &j);
    }
    free(s.allocated);
    return NS_OK;
}

/* --- several matrices, one vector --- */

int64_t ns_vector_items(int64_t cols) {
    /* The vector, and room to round and to widen one. */
    return NS_TILE_COLS * ns_tile_words(cols) + NS_TILE_ROWS + 2 * cols;
}

typedef struct {
    const ns_table *table;
    const ns_tiles *const *t;
    const ns_vectors *x;
    float *const *out;
} joint_product;

static void joint_task(void *context, int64_t first, int64_t last) {
    const joint_product *j = context;
    const ns_tiles *const *t = j->t;
    for (float *const *out = j->out; first < last; t++, out++) {
        int64_t groups = (*t)->groups;
        if (first < groups) {
            int64_t end = last < groups ? last : groups;
            j->table->tile_matvec(*t, j->x, *out, (*t)->rows, first, end);
            first = end;
        }
        first -= groups;
        last -= groups;
    }
}

int ns_tile_products(const ns_tiles *const *t, int count, const float *x, int halves,
                     uint32_t *vectors, float *const *out) {
    const ns_table *table = ns_active();
    int64_t stride = NS_TILE_COLS * t[0]->words + NS_TILE_ROWS, cols = t[0]->cols;
    int64_t groups = 0, bytes = 0;
    ns_vectors v = {.data = vectors, .stride = stride, .batch = 1};
    joint_product j = {.table = table, .t = t, .x = &v, .out = out};
    uint16_t *rounded = (uint16_t *)(vectors + stride);
    int alike = 1;
    for (int k = 0; k < count; k++) {
        if (t[k]->cols != cols) return NS_ERROR_SIZE;
        alike &= t[k]->kind == t[0]->kind && !t[k]->span == !t[0]->span;
        groups += t[k]->groups;
        bytes += bytes_of(t[k]);
    }
    for (int k = 0, code; !alike && k < count; k++) { /* each kind wants x in its own form */
        code = ns_tile_products(t + k, 1, x, halves, vectors, out + k);
        if (code != NS_OK || k + 1 == count) return code;
    }
    for (int64_t i = 0; halves && i < cols; i++) rounded[i] = ns_to_half(x[i]);
    v.low = table->tile_prepare(t[0], halves ? (const void *)rounded : x, halves,
                                (float *)(vectors + stride + cols), vectors);
    ns_parallel(groups, chunk_groups(groups, bytes), joint_task, &j);
    return NS_OK;
}

/* --- many vectors --- */

typedef struct {
    product p;
    const void *from;
    void *to;
    int halves, panel;
    atomic_int low, failed;
} wide_product;

static void pairs_task(void *context, int64_t first, int64_t last) {
    wide_product *j = context;
    for (int64_t b = first; b < last; b++) {
        uint32_t *to = j->p.x->data + b * j->p.x->stride;
        if (j->p.table->tile_pairs(j->p.t, vector_at(j->p.t, j->from, j->halves, b), j->halves,
                                   to)) {
            atomic_store(&j->low, 1);
        }
    }
}

static void matmul_task(void *context, int64_t first, int64_t last) {
    wide_product *j = context;
    const product *p = &j->p;
    void *panel;
    size_t items = (size_t)(NS_PANEL_ITEMS(j->panel, p->table->panel_words)
                            + p->x->batch * NS_TILE_ROWS * j->panel);
    if (posix_memalign(&panel, 64, items * sizeof(uint32_t)) != 0) {
        atomic_store(&j->failed, 1);
        return;
    }
    p->table->tile_matmul(p->t, p->x, j->panel, panel, j->to, j->halves, first, last);
    free(panel);
}

/* Groups a panel: as many as a level takes, unless threads would wait for the last one. */
static int panel_groups(const ns_tiles *t, int most) {
    int64_t threads = ns_threads(), least = INT64_MAX;
    int best = NS_PANEL;
    for (int panel = most; panel >= NS_PANEL; panel -= NS_PANEL) {
        int64_t panels = (t->groups + panel - 1) / panel;
        int64_t longest = (panels + threads - 1) / threads * panel;
        if (longest < least) {
            least = longest;
            best = panel;
        }
    }
    return best;
}

/* Whether x is in the form that the level reads, and its rows are not multiples of 256 bytes apart,
 * which would put those that are read together into few sets of the cache. */
static int reads_as_given(const ns_table *table, const ns_tiles *t, int halves) {
    return table->panel > NS_PANEL && halves && t->cols == NS_TILE_COLS * t->words
           && t->cols % 128 != 0;
}

int ns_tile_matmul(const ns_tiles *t, const void *x, int halves, int64_t batch, void *out) {
    /* High parts, and low parts where x is float; a line more keeps vectors out of each other's
     * way in the cache. */
    int64_t stride = (halves ? 2 : 4) * t->words + NS_TILE_ROWS;
    ns_vectors v = {.stride = stride, .batch = (int)batch};
    wide_product j = {.p = {.table = ns_active(), .t = t, .x = &v}, .from = x, .to = out,
                      .halves = halves};
    void *vectors = NULL;
    if (j.p.table->tile_matmul == NULL
        || (t->kind != NS_BF16 && t->kind != NS_INT8 && t->kind != NS_INT4)) {
        return NS_ERROR_LEVEL;
    }
    if (batch < 0 || batch > INT32_MAX) return NS_ERROR_SIZE;
    if (batch <= j.p.table->few) return ns_tile_matvec(t, x, halves, batch, out);
    if (reads_as_given(j.p.table, t, halves)) {
        v.data = (uint32_t *)x; /* only read */
        v.stride = t->cols / 2;
    } else {
        if (posix_memalign(&vectors, 64, (size_t)(batch * stride + 16) * sizeof(uint32_t)) != 0) {
            return NS_ERROR_MEMORY;
        }
        v.data = vectors;
        ns_parallel(batch, 8, pairs_task, &j);
    }
    v.low = atomic_load(&j.low);
    j.panel = panel_groups(t, j.p.table->panel);
    ns_parallel((t->groups + j.panel - 1) / j.panel, 1, matmul_task, &j);
    free(vectors);
    return atomic_load(&j.failed) ? NS_ERROR_MEMORY : NS_OK;
}
