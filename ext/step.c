/* One token through a decoder: products in tile order, and between them the parts of kernels/step.c.
 * Nothing is allocated; the caller's scratch holds every intermediate. */
#include "core.h"

#include <time.h>

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Products with x, their time added to `spent`. */
static int products(const ns_decoder *d, const ns_tiles *const *t, int count, const float *x,
                    float *const *out, double *spent) {
    double begin = seconds();
    int code = ns_tile_products(t, count, x, d->halves, d->vectors, out);
    *spent += seconds() - begin;
    return code;
}

static void add_bias(float *x, const float *bias, int64_t n) {
    if (bias == NULL) return;
    for (int64_t i = 0; i < n; i++) x[i] += bias[i];
}

static void add(float *x, const float *more, int64_t n) {
    for (int64_t i = 0; i < n; i++) x[i] += more[i];
}

typedef struct {
    const ns_decoder *d;
    const ns_layer *layer;
    const ns_table *table;
    int64_t position, first; /* attention looks at first..position */
} attention;

static void attend_task(void *context, int64_t first, int64_t last) {
    const attention *a = context;
    const ns_decoder *d = a->d;
    int64_t width = d->head_width, item = d->halves ? 2 : 4;
    int64_t shared = a->layer->heads / a->layer->kv_heads;
    for (int64_t h = first; h < last; h++) {
        int64_t at = ((h / shared) * d->positions + a->first) * width * item;
        a->table->attend(d->queries + h * width, (const uint8_t *)a->layer->keys + at,
                         (const uint8_t *)a->layer->values + at, d->halves,
                         a->position + 1 - a->first, width, d->scale, d->cap,
                         d->scores + h * d->positions, d->mixed + h * width);
    }
}

/* One head's vector into the cache. */
static void keep(const ns_decoder *d, void *cache, int64_t head, int64_t position, const float *x) {
    int64_t at = (head * d->positions + position) * d->head_width;
    if (!d->halves) {
        memcpy((float *)cache + at, x, (size_t)d->head_width * sizeof *x);
        return;
    }
    for (int64_t i = 0; i < d->head_width; i++) ((uint16_t *)cache)[at + i] = ns_to_half(x[i]);
}

static int attend_block(const ns_decoder *d, const ns_layer *l, const ns_table *table,
                        int64_t position, float *x) {
    int64_t width = d->head_width, own = l->kv_heads * width;
    const ns_tiles *three[3] = {l->q, l->k, l->v};
    float *to[3] = {d->queries, d->keys, d->values};
    table->rms_norm(x, l->before_attention, d->eps, d->width, d->normed);
    int code = products(d, three, 3, d->normed, to, d->spent);
    if (code != NS_OK) return code;
    add_bias(d->queries, l->q_bias, l->heads * width);
    add_bias(d->keys, l->k_bias, own);
    add_bias(d->values, l->v_bias, own);
    for (int64_t h = 0; l->q_norm != NULL && h < l->heads; h++) {
        table->rms_norm(d->queries + h * width, l->q_norm, d->eps, width, d->queries + h * width);
    }
    for (int64_t h = 0; l->k_norm != NULL && h < l->kv_heads; h++) {
        table->rms_norm(d->keys + h * width, l->k_norm, d->eps, width, d->keys + h * width);
    }
    const float *cosine = l->cosine + position * width, *sine = l->sine + position * width;
    table->rotate(d->queries, l->heads, width, cosine, sine);
    table->rotate(d->keys, l->kv_heads, width, cosine, sine);
    for (int64_t h = 0; h < l->kv_heads; h++) {
        keep(d, l->keys, h, position, d->keys + h * width);
        keep(d, l->values, h, position, d->values + h * width);
    }
    attention a = {.d = d, .layer = l, .table = table, .position = position};
    if (l->window > 0 && position + 1 > l->window) a.first = position + 1 - l->window;
    ns_parallel(l->heads, 1, attend_task, &a);
    code = products(d, &l->o, 1, d->mixed, &d->normed, d->spent);
    add_bias(d->normed, l->o_bias, d->width);
    return code;
}

static int feed_block(const ns_decoder *d, const ns_layer *l, const ns_table *table,
                      const float *x) {
    const ns_tiles *two[2] = {l->gate, l->up};
    float *to[2] = {d->gates, d->ups};
    table->rms_norm(x, l->before_feed, d->eps, d->width, d->normed);
    int code = products(d, two, 2, d->normed, to, d->spent);
    if (code != NS_OK) return code;
    add_bias(d->gates, l->gate_bias, l->inner);
    add_bias(d->ups, l->up_bias, l->inner);
    table->gate(d->gates, d->ups, l->inner, d->activation);
    code = products(d, &l->down, 1, d->gates, &d->normed, d->spent);
    add_bias(d->normed, l->down_bias, d->width);
    return code;
}

int ns_decode(const ns_decoder *d, int64_t position, float *x, float *logits) {
    const ns_table *table = ns_active();
    double begin = seconds(), before = d->spent[0] + d->spent[1];
    if (position < 0 || position >= d->positions) return NS_ERROR_SIZE;
    for (int64_t i = 0; i < d->count; i++) {
        const ns_layer *l = d->layers + i;
        int code = attend_block(d, l, table, position, x);
        if (code != NS_OK) return code;
        if (l->after_attention) {
            table->rms_norm(d->normed, l->after_attention, d->eps, d->width, d->normed);
        }
        add(x, d->normed, d->width);
        code = feed_block(d, l, table, x);
        if (code != NS_OK) return code;
        if (l->after_feed) table->rms_norm(d->normed, l->after_feed, d->eps, d->width, d->normed);
        add(x, d->normed, d->width);
    }
    table->rms_norm(x, d->last_norm, d->eps, d->width, d->normed);
    int code = products(d, &d->head, 1, d->normed, &logits, d->spent + 1);
    d->spent[2] += seconds() - begin - (d->spent[0] + d->spent[1] - before);
    return code;
}
