/* The kernels' one interface.
 *
 * Every file in this folder is compiled once for each instruction level, with NS_LEVEL set to the
 * level's name and the level's flags; dispatch.c picks one table of functions at load. Kernels work
 * on ranges of rows, start no threads, allocate nothing and never call Python.
 *
 * Bitmap, "row order" version 1: row r is `words` 64-bit little-endian words; bit j of the row is
 * bit j % 64 of word j / 64; bits at and beyond `cols` are zero. Values stand in row-major order of
 * the set bits and are followed by at least 64 readable bytes, so that vector loads may run over.
 */
#ifndef NEUROSPARSE_KERNELS_H
#define NEUROSPARSE_KERNELS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the bitmap format is read in place and needs a little-endian machine"
#endif

#define NS_PASTE_(a, b, c) a##b##c
#define NS_PASTE(a, b, c) NS_PASTE_(a, b, c)
#define NS_NAME(name) NS_PASTE(ns_, NS_LEVEL, _##name)
/* The same of the level that this one adds to. */
#ifndef NS_SAME_AS
#define NS_SAME_AS NS_LEVEL
#endif
#define NS_SHARED(name) NS_PASTE(ns_, NS_SAME_AS, _##name)

/* Word `index` of a bitmap that may stand at any address. */
static inline uint64_t ns_word(const uint8_t *bitmap, int64_t index) {
    uint64_t word;
    memcpy(&word, bitmap + 8 * index, 8);
    return word;
}

/* Set bits of one row. */
static inline int64_t ns_row_count(const uint8_t *bitmap, int64_t words, int64_t row) {
    int64_t count = 0;
    for (int64_t i = 0; i < words; i++) {
        count += __builtin_popcountll(ns_word(bitmap, row * words + i));
    }
    return count;
}

/* What the values are. In row order an int4 value takes a byte, as int8 does: only files and tiles
 * hold two in one. */
enum ns_kind { NS_FP32 = 0, NS_BF16 = 1, NS_FP16 = 2, NS_INT8 = 3, NS_INT4 = 4, NS_KINDS = 5 };

/* Columns that share a scale (0: a whole row does): a power of two, so that a group is whole steps of
 * tiles, and few enough that a group's sum of 16-bit x times 8-bit values fits into 32 bits. */
enum { NS_LEAST_GROUP = 32, NS_MOST_GROUP = 256 };
static inline int ns_is_group(int64_t group) {
    return group >= NS_LEAST_GROUP && group <= NS_MOST_GROUP && (group & (group - 1)) == 0;
}

/* bfloat16 is the upper half of a float. */
static inline float ns_from_half(uint16_t half) {
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* To bfloat16, to nearest, ties to even. */
static inline uint16_t ns_to_half(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 64); /* NaN stays one */
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* One matrix as the row kernels see it; the caller has checked every size. */
typedef struct {
    int kind;
    int64_t rows, cols, words;  /* words a row, ceil(cols / 64) */
    const uint8_t *bitmap;      /* [rows, 8 * words]; need not be aligned (files are mapped) */
    const int64_t *offsets;     /* [rows + 1], in values */
    const uint8_t *values;      /* need not be aligned */
    const float *scales;        /* [rows] for int8, else NULL */
    int64_t group;              /* int4, and int8 where it is not 0: */
    const uint16_t *group_scales; /* bfloat16 [rows, ceil(cols / group)] */
} ns_matrix;

/* The bitmap and the offsets agree about this row, so that reading it stays inside the values. */
static inline int ns_row_agrees(const ns_matrix *m, int64_t row) {
    return ns_row_count(m->bitmap, m->words, row) == m->offsets[row + 1] - m->offsets[row];
}

/* A dense row times the scales of its groups. A scale may be negative: the 0 turns -0 into +0, which
 * is what a dropped entry comes back as. */
static inline void ns_scale_groups(const ns_matrix *m, int64_t row, float *out) {
    const int64_t spans = (m->cols + m->group - 1) / m->group;
    for (int64_t k = 0; k < spans; k++) {
        float scale = ns_from_half(m->group_scales[row * spans + k]);
        int64_t end = (k + 1) * m->group < m->cols ? (k + 1) * m->group : m->cols;
        for (int64_t j = k * m->group; j < end; j++) out[j] = out[j] * scale + 0.0f;
    }
}

/* Set bits of `mask` (any nonzero byte, [rows, cols]) into rows first..last of the bitmap. */
typedef void ns_pack_mask_fn(const uint8_t *mask, int64_t cols, int64_t words, uint8_t *bitmap,
                             int64_t first, int64_t last);
/* The reverse: bytes 0 or 1. */
typedef void ns_unpack_mask_fn(const uint8_t *bitmap, int64_t cols, int64_t words, uint8_t *mask,
                               int64_t first, int64_t last);
/* counts[r] = set bits of row r. */
typedef void ns_count_rows_fn(const uint8_t *bitmap, int64_t words, int64_t *counts,
                              int64_t first, int64_t last);
/* Gather the weights under the mask; item is 1, 2 or 4 bytes. This and what follows return 0, or 1
 * where a row's bitmap does not hold as many bits as its offsets say; such a row is left alone. */
typedef int ns_pack_values_fn(const uint8_t *weight, int item, const ns_matrix *m, uint8_t *values,
                               int64_t first, int64_t last);
/* Scatter values back to dense rows; out points at row `first`. */
typedef int ns_expand_fn(const ns_matrix *m, int item, uint8_t *out, int64_t first, int64_t last);
/* The same into float32, scaled by row or group where the matrix has scales. */
typedef int ns_expand_float_fn(const ns_matrix *m, float *out, int64_t first, int64_t last);
/* The same rounded to bfloat16; `row` has room for one. */
typedef int ns_expand_half_fn(const ns_matrix *m, float *row, uint16_t *out, int64_t first,
                              int64_t last);
/* The run-time order of a matrix, "tiles": 16 rows by 4 columns a word, so that an expanded register
 * has one row in each of its sixteen 32-bit lanes and x is one broadcast, with no sums across lanes.
 * A lane holds I = 4 / size neighbouring columns (fp16: I = 1, its lanes are halves), and the items
 * of a word stand in the order [4 / I][16 rows][I]. The words of a group of 16 rows follow each
 * other by columns, then those of the next group; words a group are a multiple of NS_TILE_STEP, so
 * that no kernel has a tail. The values of a group are those of its 16 rows in row order, permuted:
 * both orders share their offsets. At least 64 bytes follow the last value.
 *
 * int4 values stand two in a byte: those of a group's even words follow each other in the lower
 * halves, those of its odd words in the upper halves, so that a register of bytes becomes one of
 * values by a mask (and a shift), from any value on. The group takes the bytes of the longer of the
 * two, which are its offsets. A value is the upper half of the signed byte that is multiplied: 16
 * times itself. */
enum { NS_TILE_ROWS = 16, NS_TILE_COLS = 4, NS_TILE_STEP = 8 };
typedef struct {
    int kind;
    int sparse_loads;        /* density at which half a register of values nearly always does */
    int64_t rows, cols;
    int64_t groups, words;   /* ceil(rows / 16); words a group */
    const uint64_t *masks;   /* [groups, words]; NULL: every item is stored, zeros too */
    const int64_t *offsets;  /* [groups + 1], in values */
    const uint8_t *values;
    const float *scales;     /* [rows] for int8, else NULL */
    const int32_t *sums;     /* [rows] sums of a row's values, for int8 */
    int64_t span;            /* words of a group of columns; 0: scales are of whole rows */
    const uint16_t *group_scales; /* bfloat16 [groups, ceil(words / span), 16 rows] */
    const float *totals;     /* [rows] sums of a row's values times their scales */
} ns_tiles;

/* Groups of columns in a row. */
static inline int64_t ns_tile_spans(const ns_tiles *t) {
    return t->span ? (t->words + t->span - 1) / t->span : 0;
}
static inline int ns_item_size(int kind) {
    return kind == NS_FP32 ? 4 : kind == NS_INT8 || kind == NS_INT4 ? 1 : 2;
}

/* How many columns share a 32-bit lane. */
static inline int ns_tile_lane(int kind) {
    return kind == NS_INT8 || kind == NS_INT4 ? 4 : kind == NS_BF16 ? 2 : 1;
}

/* Right-hand sides as tile_matvec of this level and kind wants them; vector b begins at
 * data + b * stride. */
typedef struct {
    uint32_t *data;
    int64_t stride;  /* 4 * words + NS_TILE_ROWS: items, then what belongs to the whole vector */
    int batch;
    int low;         /* the lower halves of some vector are not all zero */
} ns_vectors;

/* bfloat16 x [cols] as floats. */
static inline const float *ns_widen(const uint16_t *x, int64_t cols, float *to) {
    for (int64_t i = 0; i < cols; i++) {
        uint32_t bits = (uint32_t)x[i] << 16;
        memcpy(to + i, &bits, sizeof bits);
    }
    return to;
}

/* The plain form of a vector: floats, zeros behind them. */
static inline void ns_tile_floats(const ns_tiles *t, const void *x, int halves, uint32_t *to) {
    if (halves) ns_widen((const uint16_t *)x, t->cols, (float *)to);
    else memcpy(to, x, (size_t)t->cols * sizeof *to);
    memset(to + t->cols, 0, (size_t)(NS_TILE_COLS * t->words - t->cols) * sizeof *to);
}

/* One vector x [cols], float or (halves) bfloat16, to `to`; returns whether lower halves matter.
 * There is room for [cols] floats at `scratch`. */
typedef int ns_tile_prepare_fn(const ns_tiles *t, const void *x, int halves, float *scratch,
                               uint32_t *to);
/* out[b, r] for the rows of groups first..last. */
typedef void ns_tile_matvec_fn(const ns_tiles *t, const ns_vectors *x, float *out, int64_t stride,
                               int64_t first, int64_t last);
/* Many vectors, as pairs of bf16 (high parts, then low parts if there are any): out [batch, rows],
 * float or (halves) bfloat16, for the panels first..last of `groups` groups of rows each. `panel` has
 * room for an expanded block of columns and the sums of all vectors. Only some levels have it,
 * for bf16, int8 and int4 values; elsewhere the table holds NULL. */
enum { NS_PANEL_WORDS = 1024, NS_UNIT_WORDS = 128, NS_PANEL = 2, NS_MOST_PANEL = 8,
       NS_UNIT_FEW = 16 };
#define NS_PANEL_ITEMS(groups, words) (2 * NS_TILE_ROWS * (int64_t)(groups) * (words))
typedef void ns_tile_matmul_fn(const ns_tiles *t, const ns_vectors *x, int groups, uint32_t *panel,
                               void *out, int halves, int64_t first, int64_t last);
/* A vector for it: 2 * words items of high parts, and of low parts where x is float. */
typedef int ns_tile_pairs_fn(const ns_tiles *t, const void *x, int halves, uint32_t *to);
/* Groups first..last of a matrix in row order to masks [groups, words], values, and (if not NULL)
 * sums and totals. int4 values are still bytes afterwards. Returns 1 where a row's bitmap and offsets
 * disagree. */
typedef int ns_retile_fn(const ns_matrix *m, int64_t words, uint64_t *masks, uint8_t *values,
                         int32_t *sums, float *totals, int64_t first, int64_t last);
/* int4 values of groups first..last from bytes to halves of bytes: `from` by offsets, to `to` by
 * halved; masks may be NULL. Bytes from halved[g] to halved[g + 1] are written whole. */
typedef void ns_halve_fn(const uint64_t *masks, int64_t words, const int64_t *offsets,
                         const uint8_t *from, const int64_t *halved, uint8_t *to, int64_t first,
                         int64_t last);
/* int4 values first..last of a file, two in a byte and the lower half first, to bytes. */
typedef void ns_widen_fn(const uint8_t *stored, int8_t *to, int64_t first, int64_t last);

/* One token in a decoder block (step.c). */
enum { NS_SILU = 0, NS_GELU = 1 };
/* out = x / rms(x) * weight, [n]. */
typedef void ns_rms_norm_fn(const float *x, const float *weight, float eps, int64_t n, float *out);
/* x [heads, width] turned by cosine, sine [width]. */
typedef void ns_rotate_fn(float *x, int64_t heads, int64_t width, const float *cosine,
                          const float *sine);
/* One head: softmax of q [width] with keys [count, width], as weights of values [count, width], both
 * float or (halves) bfloat16; scores are scaled, and bent by cap tanh(s / cap) where cap > 0. */
typedef void ns_attend_fn(const float *q, const void *keys, const void *values, int halves,
                          int64_t count, int64_t width, float scale, float cap, float *scores,
                          float *out);
/* gate = activation(gate) * up, [n]. */
typedef void ns_gate_fn(float *gate, const float *up, int64_t n, int activation);

/* Frames are [columns, rows] with rows contiguous, all of one size and type. Output o becomes
 * sum_s weights[o][s] sources[s]; scaled becomes scale (a value a row) times a source, or times
 * output 0 where scaled_from is -1. Outputs may stand on sources: a tile is read before it is
 * written. */
enum { NS_SOURCES = 8, NS_COMBINED = 2 };
typedef struct {
    int item;                          /* 8: double, 4: float */
    int count, outputs, scaled_from;
    int64_t rows, columns;
    const void *sources[NS_SOURCES];
    double weights[NS_COMBINED][NS_SOURCES];
    void *out[NS_COMBINED];
    const void *scale;
    void *scaled;
} ns_combination;
typedef void ns_combine_fn(const ns_combination *c, int64_t first, int64_t last);

/* Error curves of a matrix whose weights go row by row in a given order: after `counts` of them,
 * out = d^T G d with d the weights that are gone. */
typedef struct {
    int64_t rows, cols, levels;
    const float *weight;   /* [rows, cols] */
    const float *gram;     /* [cols, cols], symmetric */
    const int32_t *order;  /* [rows, cols]: columns, first to go first */
    const int64_t *counts; /* [rows, levels], not falling along a row */
    float *work;           /* [rows, cols] scratch */
    double *out;           /* [rows, levels] */
} ns_curves;
typedef void ns_curves_fn(const ns_curves *c, int64_t first, int64_t last);

/* A block of columns of a weight, each contiguous, settled one after the other: column k takes
 * factor[k, j] times the error of every column j before it, and what is gone of it is its error,
 * over factor[k, k]. */
enum { NS_SETTLE_COLS = 256 };
typedef struct {
    int64_t rows, cols;   /* of the weight; at most NS_SETTLE_COLS columns */
    float *weight;        /* [cols, rows] */
    const float *factor;  /* [cols, cols], of row k the first k + 1 */
    const uint8_t *gone;  /* [cols, rows] */
    float *errors;        /* [cols, rows] */
} ns_settle;
/* Rows first..last of the weight. */
typedef void ns_settle_fn(const ns_settle *s, int64_t first, int64_t last);

/* A product of low rank under a mask, s M o (B A). */
enum {
    NS_LOW_RANK_COLS = 512,   /* columns summed at once: the sums stay in the first-level cache */
    NS_LOW_RANK_STRIP = 128   /* columns that one thread sees of all rows; a multiple of 16 */
};
typedef struct {
    int64_t rows, cols, words, rank;
    const uint8_t *bitmap;  /* [rows, 8 * words] */
    const float *a, *b;     /* [rank, cols], [rows, rank] */
    float scale;
} ns_low_rank;
/* out = base + s M o (B A), rows first..last of [rows, cols], each float32 or (halves) bfloat16;
 * base may be NULL, or be out itself where both have one type. */
typedef void ns_low_rank_add_fn(const ns_low_rank *m, const void *base, int base_halves, void *out,
                                int out_halves, int64_t first, int64_t last);
/* Of P [rows, cols], for strips first..last of columns: grad_a [rank, cols] += s B^T (M o P), and
 * dots [strips, rows, rank] = the strip's share of (M o P) A^T. */
typedef void ns_low_rank_grad_fn(const ns_low_rank *m, const float *product, float *dots,
                                 float *grad_a, int64_t first, int64_t last);

typedef struct {
    const char *name;
    ns_pack_mask_fn *pack_mask;
    ns_unpack_mask_fn *unpack_mask;
    ns_count_rows_fn *count_rows;
    ns_pack_values_fn *pack_values;
    ns_expand_fn *expand;
    ns_expand_float_fn *expand_float;
    ns_expand_half_fn *expand_half;
    ns_tile_prepare_fn *tile_prepare;
    ns_tile_matvec_fn *tile_matvec;
    ns_tile_pairs_fn *tile_pairs;    /* NULL where there is no tile_matmul */
    ns_tile_matmul_fn *tile_matmul;
    int panel, panel_words;          /* its largest panel and the words of a block */
    int few;                         /* vectors up to which tile_matvec is as fast */
    ns_retile_fn *retile;
    ns_halve_fn *halve;
    ns_widen_fn *widen;
    ns_rms_norm_fn *rms_norm;
    ns_rotate_fn *rotate;
    ns_attend_fn *attend;
    ns_gate_fn *gate;
    ns_combine_fn *combine;
    ns_curves_fn *curves;
    ns_low_rank_add_fn *low_rank_add;
    ns_low_rank_grad_fn *low_rank_grad;
    ns_settle_fn *settle;
} ns_table;

#endif
