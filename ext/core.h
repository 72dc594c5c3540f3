/* What the Cython shell calls: whole operations, threads included. Every function that can fail
 * returns one of the codes below and must be checked; ns_strerror gives the sentence. */
#ifndef NEUROSPARSE_CORE_H
#define NEUROSPARSE_CORE_H

#include "kernels/kernels.h"

#if defined(__GNUC__)
#define NS_MUST_CHECK __attribute__((warn_unused_result))
#else
#define NS_MUST_CHECK
#endif

enum ns_code {
    NS_OK = 0,
    NS_ERROR_MEMORY = 1,   /* scratch could not be allocated */
    NS_ERROR_SIZE = 2,     /* a size is negative, or two sizes do not fit each other */
    NS_ERROR_KIND = 3,     /* unknown kind of values or item size */
    NS_ERROR_OFFSETS = 4,  /* offsets do not belong to the bitmap or run past the values */
    NS_ERROR_LEVEL = 5,    /* no such level, or this CPU lacks it */
    NS_CODES = 6
};

const char *ns_strerror(int code);

/* dispatch.c: levels, from least to most. */
int ns_level_count(void);                 /* compiled */
const char *ns_level_name(int index);
int ns_level_runs(int index);             /* this CPU and its system have it */
const char *ns_level(void);               /* in use */
NS_MUST_CHECK int ns_select(const char *name); /* NULL: the best there is */
const ns_table *ns_active(void);
const ns_table *ns_level_table(int index);

/* pool.c: fn(context, first, last) over 0..count in chunks; each index is done exactly once. */
typedef void ns_task(void *context, int64_t first, int64_t last);
void ns_parallel(int64_t count, int64_t chunk, ns_task *fn, void *context);
int ns_threads(void);
void ns_set_threads(int threads);
/* From now on the calling thread does its jobs alone (1), or with the others again (0). */
void ns_work_alone(int alone);

/* matrix.c: value_count is the length of `values` in items, padding included. */
NS_MUST_CHECK int ns_pack_mask(const uint8_t *mask, int64_t rows, int64_t cols, uint8_t *bitmap);
NS_MUST_CHECK int ns_unpack_mask(const uint8_t *bitmap, int64_t rows, int64_t cols,
                                 uint8_t *mask);
NS_MUST_CHECK int ns_row_offsets(const uint8_t *bitmap, int64_t rows, int64_t words,
                                 int64_t *offsets);
NS_MUST_CHECK int ns_pack_values(const uint8_t *weight, int item, const ns_matrix *m, uint8_t *values,
                                 int64_t value_count);
NS_MUST_CHECK int ns_expand(const ns_matrix *m, int item, int64_t value_count, uint8_t *out,
                            int64_t first, int64_t last);
NS_MUST_CHECK int ns_expand_float(const ns_matrix *m, int64_t value_count, float *out,
                                  int64_t first, int64_t last);
/* The same rounded to bfloat16. */
NS_MUST_CHECK int ns_expand_half(const ns_matrix *m, int64_t value_count, uint16_t *out,
                                 int64_t first, int64_t last);
/* Values first..last of int4 values in a file of so many bytes, one a byte. */
NS_MUST_CHECK int ns_widen_int4(const uint8_t *stored, int64_t bytes, int8_t *to, int64_t first,
                           int64_t last);
/* Kind, sizes, and offsets that stay inside `value_count` values. */
NS_MUST_CHECK int ns_check_matrix(const ns_matrix *m, int64_t value_count);

/* tiles.c: masks [groups, words], offsets [groups + 1], values as many as the matrix has, sums
 * [rows] for int8 or NULL, totals [rows] where the matrix has groups or NULL. The level that
 * multiplies may be another than the one that made them. */
int64_t ns_tile_words(int64_t cols);
int64_t ns_tile_groups(int64_t rows);
NS_MUST_CHECK int ns_retile(const ns_matrix *m, int64_t value_count, uint64_t *masks,
                            int64_t *offsets, uint8_t *values, int32_t *sums, float *totals);
/* Several matrices at once, each by one thread: rows are counted into their offsets (which `m` points
 * to) first. `code` says what became of each; those with a code other than NS_OK are left alone.
 * Where bitmap and values are `mapped` from a file and unchanged, their pages go back to it. */
typedef struct {
    ns_matrix m;
    int64_t value_count;
    int64_t *counted;            /* [rows + 1], m.offsets */
    uint64_t *masks;
    int64_t *offsets;
    uint8_t *values;
    int32_t *sums;
    float *totals;
    int code, mapped;
} ns_order;
void ns_retile_all(ns_order *orders, int64_t count);
/* int4 values from bytes, as ns_retile leaves them (`from` of `count` items), to halves of bytes:
 * first where every group's bytes begin, then the bytes, `halved_count` of them. */
NS_MUST_CHECK int ns_halved_offsets(const uint64_t *masks, int64_t groups, int64_t words,
                                    int64_t *halved);
NS_MUST_CHECK int ns_halve(const uint64_t *masks, int64_t groups, int64_t words,
                           const int64_t *offsets, const uint8_t *from, int64_t count,
                           const int64_t *halved, uint8_t *to, int64_t halved_count);
/* Offsets that rise, stay inside `value_count` values and are those of the masks. */
NS_MUST_CHECK int ns_check_tiles(const ns_tiles *t, int64_t value_count);
/* x [batch, cols] and out [batch, rows] float, or bfloat16 where `halves`. */
NS_MUST_CHECK int ns_tile_matvec(const ns_tiles *t, const void *x, int halves, int64_t batch,
                                 void *out);
/* The same for many vectors, bf16, int8 and int4 values; NS_ERROR_LEVEL where this level has no such. */
NS_MUST_CHECK int ns_tile_matmul(const ns_tiles *t, const void *x, int halves, int64_t batch,
                                 void *out);

/* Several matrices of one width with one x [cols], shared among the threads as one product; x is
 * rounded to bfloat16 first where `halves`. `vectors` has room for ns_vector_items. */
int64_t ns_vector_items(int64_t cols);
NS_MUST_CHECK int ns_tile_products(const ns_tiles *const *t, int count, const float *x, int halves,
                                   uint32_t *vectors, float *const *out);

/* step.c: a decoder block of the Llama family; blocks may differ in width. Biases, norms on heads and
 * norms after a part may be NULL; norms' weights are what multiplies. The caches are
 * [kv_heads, positions, head_width]. */
typedef struct {
    int64_t heads, kv_heads, inner;
    const ns_tiles *q, *k, *v, *o, *gate, *up, *down;
    const float *q_bias, *k_bias, *v_bias, *o_bias, *gate_bias, *up_bias, *down_bias;
    const float *before_attention, *after_attention, *before_feed, *after_feed, *q_norm, *k_norm;
    const float *cosine, *sine;  /* [positions, head_width] */
    void *keys, *values;         /* float, or bfloat16 where the decoder has halves */
    int64_t window;              /* tokens that attention sees; 0: all */
} ns_layer;

typedef struct {
    int64_t count, width, head_width, positions;
    float eps, scale, cap;       /* of norms, of scores; cap 0: none */
    int activation, halves;
    const ns_layer *layers;
    const ns_tiles *head;
    const float *last_norm;
    /* scratch, as long as the widest block's */
    float *normed;               /* [width] */
    float *queries, *mixed;      /* [heads, head_width] */
    float *keys, *values;        /* [kv_heads, head_width] */
    float *gates, *ups;          /* [inner] */
    float *scores;               /* [heads, positions] */
    uint32_t *vectors;           /* ns_vector_items of the widest product */
    double *spent;               /* seconds so far: products of blocks, the head, all else */
} ns_decoder;

/* x [width], the token's embedding, is used up; logits [rows of the head]. */
NS_MUST_CHECK int ns_decode(const ns_decoder *d, int64_t position, float *x, float *logits);

/* frames.c */
NS_MUST_CHECK int ns_combine(const ns_combination *c);

/* curves.c */
NS_MUST_CHECK int ns_error_curves(const ns_curves *c);

/* low_rank.c: base (which may be NULL) and out, [rows, cols], are float or (halves) bfloat16;
 * grad_a [rank, cols] is added to, grad_b [rows, rank] is written. */
NS_MUST_CHECK int ns_low_rank_add(const ns_low_rank *m, const void *base, int base_halves,
                                  void *out, int out_halves);
NS_MUST_CHECK int ns_low_rank_grad(const ns_low_rank *m, const float *product, float *grad_a,
                                   float *grad_b);

/* settle.c */
NS_MUST_CHECK int ns_settle_columns(const ns_settle *s);

#endif
