"""core.h, for Cython."""
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "core.h":
    ctypedef struct ns_matrix:
        int kind
        int64_t rows, cols, words
        const uint8_t *bitmap
        const int64_t *offsets
        const uint8_t *values
        const float *scales
        int64_t group
        const uint16_t *group_scales
    ctypedef struct ns_tiles:
        int kind, sparse_loads
        int64_t rows, cols, groups, words
        const uint64_t *masks
        const int64_t *offsets
        const uint8_t *values
        const float *scales
        const int32_t *sums
        int64_t span
        const uint16_t *group_scales
        const float *totals
    ctypedef struct ns_layer:
        int64_t heads, kv_heads, inner
        const ns_tiles *q
        const ns_tiles *k
        const ns_tiles *v
        const ns_tiles *o
        const ns_tiles *gate
        const ns_tiles *up
        const ns_tiles *down
        const float *q_bias
        const float *k_bias
        const float *v_bias
        const float *o_bias
        const float *gate_bias
        const float *up_bias
        const float *down_bias
        const float *before_attention
        const float *after_attention
        const float *before_feed
        const float *after_feed
        const float *q_norm
        const float *k_norm
        const float *cosine
        const float *sine
        void *keys
        void *values
        int64_t window
    ctypedef struct ns_decoder:
        int64_t count, width, head_width, positions
        float eps, scale, cap
        int activation, halves
        const ns_layer *layers
        const ns_tiles *head
        const float *last_norm
        float *normed
        float *queries
        float *mixed
        float *keys
        float *values
        float *gates
        float *ups
        float *scores
        uint32_t *vectors
        double *spent
    ctypedef struct ns_combination:
        int item, count, outputs, scaled_from
        int64_t rows, columns
        const void *sources[8]
        double weights[2][8]
        void *out[2]
        const void *scale
        void *scaled
    ctypedef struct ns_curves:
        int64_t rows, cols, levels
        const float *weight
        const float *gram
        const int32_t *order
        const int64_t *counts
        float *work
        double *out
    ctypedef struct ns_low_rank:
        int64_t rows, cols, words, rank
        const uint8_t *bitmap
        const float *a
        const float *b
        float scale
    ctypedef struct ns_settle:
        int64_t rows, cols
        float *weight
        const float *factor
        const uint8_t *gone
        float *errors
    int NS_ERROR_MEMORY, NS_ERROR_SIZE, NS_ERROR_LEVEL, NS_OK
    int NS_INT8, NS_INT4, NS_KINDS, NS_TILE_ROWS, NS_TILE_COLS
    const char *ns_strerror(int) nogil
    int ns_level_count() nogil
    const char *ns_level_name(int) nogil
    bint ns_level_runs(int) nogil
    const char *ns_level() nogil
    int ns_select(const char *) nogil
    int ns_threads() nogil
    void ns_set_threads(int) nogil
    int ns_pack_mask(const uint8_t *, int64_t, int64_t, uint8_t *) nogil
    int ns_unpack_mask(const uint8_t *, int64_t, int64_t, uint8_t *) nogil
    int ns_row_offsets(const uint8_t *, int64_t, int64_t, int64_t *) nogil
    int ns_pack_values(const uint8_t *, int, const ns_matrix *, uint8_t *, int64_t) nogil
    int ns_expand(const ns_matrix *, int, int64_t, uint8_t *, int64_t, int64_t) nogil
    int ns_expand_float(const ns_matrix *, int64_t, float *, int64_t, int64_t) nogil
    int ns_expand_half(const ns_matrix *, int64_t, uint16_t *, int64_t, int64_t) nogil
    void ns_work_alone(int) nogil
    ctypedef struct ns_order:
        ns_matrix m
        int64_t value_count
        int64_t *counted
        uint64_t *masks
        int64_t *offsets
        uint8_t *values
        int32_t *sums
        float *totals
        int code, mapped
    void ns_retile_all(ns_order *, int64_t) nogil
    int ns_combine(const ns_combination *) nogil
    int ns_error_curves(const ns_curves *) nogil
    int ns_low_rank_add(const ns_low_rank *, const void *, bint, void *, bint) nogil
    int ns_low_rank_grad(const ns_low_rank *, const float *, float *, float *) nogil
    int ns_settle_columns(const ns_settle *) nogil
    int64_t ns_tile_words(int64_t) nogil
    int64_t ns_tile_groups(int64_t) nogil
    int ns_check_tiles(const ns_tiles *, int64_t) nogil
    int ns_retile(const ns_matrix *, int64_t, uint64_t *, int64_t *, uint8_t *, int32_t *,
                  float *) nogil
    int ns_halved_offsets(const uint64_t *, int64_t, int64_t, int64_t *) nogil
    int ns_halve(const uint64_t *, int64_t, int64_t, const int64_t *, const uint8_t *, int64_t,
                 const int64_t *, uint8_t *, int64_t) nogil
    int ns_widen_int4(const uint8_t *, int64_t, int8_t *, int64_t, int64_t) nogil
    int ns_tile_matvec(const ns_tiles *, const void *, bint, int64_t, void *) nogil
    int ns_tile_matmul(const ns_tiles *, const void *, bint, int64_t, void *) nogil
    int64_t ns_vector_items(int64_t) nogil
    int ns_decode(const ns_decoder *, int64_t, float *, float *) nogil
