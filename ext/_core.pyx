# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""The shell over the C core: look at the arrays, release the GIL, call, hand the code back.

Every operation returns 0 or a code of core.h; neurosparse/kernels.py turns codes into errors.
"""
import numpy as np

cimport numpy as cnp
from libc.stdlib cimport calloc, free
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from arrays cimport are_rows, bytes_of, fill, fits, frame_sizes, is_array, is_mask_and_bitmap, item_size, value_type
from core cimport *

cnp.import_array()

cdef extern from "build_info.h":
    const char *NS_BUILD_INFO


def strerror(int code):
    return ns_strerror(code).decode()


def levels():
    cdef int i
    return tuple([ns_level_name(i).decode() for i in range(ns_level_count()) if ns_level_runs(i)])


def level():
    return ns_level().decode()


def select(str name):
    return ns_select(name.encode())


def threads():
    return ns_threads()


def set_threads(int count):
    ns_set_threads(count)


def build_info():
    return NS_BUILD_INFO.decode()


def pack_mask(cnp.ndarray mask, cnp.ndarray bitmap):
    cdef int code
    if not is_mask_and_bitmap(mask, bitmap):
        return NS_ERROR_SIZE
    cdef int64_t rows = cnp.PyArray_DIM(mask, 0), cols = cnp.PyArray_DIM(mask, 1)
    cdef const uint8_t *source = bytes_of(mask)
    cdef uint8_t *to = bytes_of(bitmap)
    with nogil:
        code = ns_pack_mask(source, rows, cols, to)
    return code


def unpack_mask(cnp.ndarray bitmap, cnp.ndarray mask):
    cdef int code
    if not is_mask_and_bitmap(mask, bitmap):
        return NS_ERROR_SIZE
    cdef int64_t rows = cnp.PyArray_DIM(mask, 0), cols = cnp.PyArray_DIM(mask, 1)
    cdef const uint8_t *source = bytes_of(bitmap)
    cdef uint8_t *to = bytes_of(mask)
    with nogil:
        code = ns_unpack_mask(source, rows, cols, to)
    return code


def row_offsets(cnp.ndarray bitmap, cnp.ndarray offsets):
    cdef int code
    if not (is_array(bitmap, 2, cnp.NPY_UINT8) and is_array(offsets, 1, cnp.NPY_INT64)
            and cnp.PyArray_DIM(bitmap, 1) % 8 == 0
            and cnp.PyArray_DIM(offsets, 0) == cnp.PyArray_DIM(bitmap, 0) + 1):
        return NS_ERROR_SIZE
    cdef int64_t rows = cnp.PyArray_DIM(bitmap, 0), words = cnp.PyArray_DIM(bitmap, 1) // 8
    cdef const uint8_t *source = bytes_of(bitmap)
    cdef int64_t *to = <int64_t *>cnp.PyArray_DATA(offsets)
    with nogil:
        code = ns_row_offsets(source, rows, words, to)
    return code


def pack_values(cnp.ndarray weight, int kind, cnp.ndarray bitmap, cnp.ndarray offsets,
                cnp.ndarray values):
    cdef ns_matrix m
    cdef int code = NS_ERROR_SIZE
    if cnp.PyArray_NDIM(weight) == 2:
        code = fill(&m, values, kind, bitmap, offsets, None, cnp.PyArray_DIM(weight, 1))
    if code == NS_OK and not (is_array(weight, 2, value_type(kind))
                              and cnp.PyArray_DIM(weight, 0) == m.rows):
        code = NS_ERROR_SIZE
    if code != NS_OK:
        return code
    cdef const uint8_t *source = bytes_of(weight)
    cdef uint8_t *to = bytes_of(values)
    cdef int64_t count = cnp.PyArray_SIZE(values)
    with nogil:
        code = ns_pack_values(source, item_size(kind), &m, to, count)
    return code


cdef int fill_rows(ns_matrix *m, cnp.ndarray values, int kind, cnp.ndarray bitmap,
                   cnp.ndarray offsets, object scales, int64_t cols, int64_t group, int64_t first,
                   int64_t last, cnp.ndarray out, int number):
    """Point m at the arrays; NS_ERROR_SIZE where out has no room for the rows as such numbers."""
    cdef int code = fill(m, values, kind, bitmap, offsets, scales, cols, group)
    if code == NS_OK and not (is_array(out, 2, number) and fits(out, last - first, cols)):
        return NS_ERROR_SIZE
    return code


def expand(cnp.ndarray values, int kind, cnp.ndarray bitmap, cnp.ndarray offsets, int64_t cols,
           int64_t first, int64_t last, cnp.ndarray out):
    cdef ns_matrix m
    cdef int code = fill_rows(&m, values, kind, bitmap, offsets, None, cols, 0, first, last, out,
                              value_type(kind))
    cdef int64_t count = cnp.PyArray_SIZE(values)
    cdef uint8_t *to = bytes_of(out)
    if code == NS_OK:
        with nogil:
            code = ns_expand(&m, item_size(kind), count, to, first, last)
    return code


def expand_float(cnp.ndarray values, int kind, cnp.ndarray bitmap, cnp.ndarray offsets,
                 object scales, int64_t cols, int64_t group, int64_t first, int64_t last,
                 cnp.ndarray out):
    cdef ns_matrix m
    cdef int code = fill_rows(&m, values, kind, bitmap, offsets, scales, cols, group, first, last,
                              out, cnp.NPY_FLOAT32)
    cdef int64_t count = cnp.PyArray_SIZE(values)
    cdef float *to = <float *>cnp.PyArray_DATA(out)
    if code == NS_OK:
        with nogil:
            code = ns_expand_float(&m, count, to, first, last)
    return code


def expand_half(cnp.ndarray values, int kind, cnp.ndarray bitmap, cnp.ndarray offsets,
                object scales, int64_t cols, int64_t group, int64_t first, int64_t last,
                cnp.ndarray out):
    cdef ns_matrix m
    cdef int code = fill_rows(&m, values, kind, bitmap, offsets, scales, cols, group, first, last,
                              out, cnp.NPY_UINT16)
    cdef int64_t count = cnp.PyArray_SIZE(values)
    cdef uint16_t *to = <uint16_t *>cnp.PyArray_DATA(out)
    if code == NS_OK:
        with nogil:
            code = ns_expand_half(&m, count, to, first, last)
    return code


def widen(cnp.ndarray stored, int64_t first, int64_t last, cnp.ndarray out):
    cdef int code
    if not (is_array(stored, 1, cnp.NPY_UINT8) and is_array(out, 1, cnp.NPY_INT8)
            and cnp.PyArray_SIZE(out) >= last - first):
        return NS_ERROR_SIZE
    cdef const uint8_t *source = bytes_of(stored)
    cdef int64_t count = cnp.PyArray_SIZE(stored)
    cdef int8_t *to = <int8_t *>cnp.PyArray_DATA(out)
    with nogil:
        code = ns_widen_int4(source, count, to, first, last)
    return code


def combine(list sources, list weights, list out, object scale, object scaled, int scaled_from):
    cdef ns_combination c
    cdef cnp.ndarray a
    cdef int code = frame_sizes(&c, sources, out, scale, scaled)
    if code != NS_OK:
        return code
    c.scaled_from = scaled_from
    for o in range(c.outputs):
        for s in range(c.count):
            c.weights[o][s] = weights[o][s]
    with nogil:
        code = ns_combine(&c)
    return code


def error_curves(cnp.ndarray weight, cnp.ndarray gram, cnp.ndarray order, cnp.ndarray counts,
                 cnp.ndarray work, cnp.ndarray out):
    cdef ns_curves c
    cdef int code
    if not (is_array(weight, 2, cnp.NPY_FLOAT32) and is_array(gram, 2, cnp.NPY_FLOAT32)
            and is_array(order, 2, cnp.NPY_INT32) and is_array(counts, 2, cnp.NPY_INT64)
            and is_array(work, 2, cnp.NPY_FLOAT32) and is_array(out, 2, cnp.NPY_FLOAT64)):
        return NS_ERROR_SIZE
    c.rows, c.cols = cnp.PyArray_DIM(weight, 0), cnp.PyArray_DIM(weight, 1)
    c.levels = cnp.PyArray_DIM(counts, 1)
    if not (fits(gram, c.cols, c.cols) and fits(order, c.rows, c.cols)
            and fits(work, c.rows, c.cols) and fits(counts, c.rows, c.levels)
            and fits(out, c.rows, c.levels)):
        return NS_ERROR_SIZE
    c.weight = <const float *>cnp.PyArray_DATA(weight)
    c.gram = <const float *>cnp.PyArray_DATA(gram)
    c.order = <const int32_t *>cnp.PyArray_DATA(order)
    c.counts = <const int64_t *>cnp.PyArray_DATA(counts)
    c.work, c.out = <float *>cnp.PyArray_DATA(work), <double *>cnp.PyArray_DATA(out)
    with nogil:
        code = ns_error_curves(&c)
    return code


cdef int low_rank(ns_low_rank *m, cnp.ndarray a, cnp.ndarray b, cnp.ndarray bitmap, float scale):
    """Point m at the arrays; NS_ERROR_SIZE where one of them does not fit."""
    if not (is_array(a, 2, cnp.NPY_FLOAT32) and is_array(b, 2, cnp.NPY_FLOAT32)
            and is_array(bitmap, 2, cnp.NPY_UINT8)
            and cnp.PyArray_ISALIGNED(a) and cnp.PyArray_ISALIGNED(b)):
        return NS_ERROR_SIZE
    m.rank, m.cols, m.rows = cnp.PyArray_DIM(a, 0), cnp.PyArray_DIM(a, 1), cnp.PyArray_DIM(b, 0)
    m.words = (m.cols + 63) // 64
    if cnp.PyArray_DIM(b, 1) != m.rank or not fits(bitmap, m.rows, 8 * m.words):
        return NS_ERROR_SIZE
    m.bitmap = bytes_of(bitmap)
    m.a, m.b = <const float *>cnp.PyArray_DATA(a), <const float *>cnp.PyArray_DATA(b)
    m.scale = scale
    return NS_OK


cdef bint is_tile(cnp.ndarray tile, const ns_low_rank *m):
    """Floats, or bfloat16 as uint16."""
    return ((is_array(tile, 2, cnp.NPY_FLOAT32) or is_array(tile, 2, cnp.NPY_UINT16))
            and cnp.PyArray_ISALIGNED(tile) and fits(tile, m.rows, m.cols))


def low_rank_add(cnp.ndarray a, cnp.ndarray b, cnp.ndarray bitmap, float scale, object base,
                 cnp.ndarray out):
    cdef ns_low_rank m
    cdef const void *source = NULL
    cdef bint base_halves = False
    cdef int code = low_rank(&m, a, b, bitmap, scale)
    if code == NS_OK and not is_tile(out, &m):
        code = NS_ERROR_SIZE
    if code == NS_OK and base is not None:
        if not (isinstance(base, cnp.ndarray) and is_tile(base, &m)):
            return NS_ERROR_SIZE
        source = cnp.PyArray_DATA(<cnp.ndarray>base)
        base_halves = cnp.PyArray_TYPE(<cnp.ndarray>base) == cnp.NPY_UINT16
    if code != NS_OK:
        return code
    cdef void *to = cnp.PyArray_DATA(out)
    cdef bint halves = cnp.PyArray_TYPE(out) == cnp.NPY_UINT16
    with nogil:
        code = ns_low_rank_add(&m, source, base_halves, to, halves)
    return code


def low_rank_grad(cnp.ndarray product, cnp.ndarray a, cnp.ndarray b, cnp.ndarray bitmap,
                  float scale, cnp.ndarray grad_a, cnp.ndarray grad_b):
    cdef ns_low_rank m
    cdef int code = low_rank(&m, a, b, bitmap, scale)
    if code == NS_OK and not (
            is_array(product, 2, cnp.NPY_FLOAT32) and is_tile(product, &m)
            and is_array(grad_a, 2, cnp.NPY_FLOAT32) and fits(grad_a, m.rank, m.cols)
            and is_array(grad_b, 2, cnp.NPY_FLOAT32) and fits(grad_b, m.rows, m.rank)
            and cnp.PyArray_ISALIGNED(grad_a) and cnp.PyArray_ISALIGNED(grad_b)):
        code = NS_ERROR_SIZE
    if code != NS_OK:
        return code
    cdef const float *source = <const float *>cnp.PyArray_DATA(product)
    cdef float *to_a = <float *>cnp.PyArray_DATA(grad_a)
    cdef float *to_b = <float *>cnp.PyArray_DATA(grad_b)
    with nogil:
        code = ns_low_rank_grad(&m, source, to_a, to_b)
    return code


def settle_columns(cnp.ndarray weight, cnp.ndarray factor, cnp.ndarray gone, cnp.ndarray errors):
    cdef ns_settle s
    cdef int code
    if not (is_array(weight, 2, cnp.NPY_FLOAT32) and is_array(factor, 2, cnp.NPY_FLOAT32)
            and is_array(gone, 2, cnp.NPY_BOOL) and is_array(errors, 2, cnp.NPY_FLOAT32)
            and cnp.PyArray_ISALIGNED(weight) and cnp.PyArray_ISALIGNED(factor)
            and cnp.PyArray_ISALIGNED(errors)):
        return NS_ERROR_SIZE
    s.cols, s.rows = cnp.PyArray_DIM(weight, 0), cnp.PyArray_DIM(weight, 1)
    if not (fits(factor, s.cols, s.cols) and fits(gone, s.cols, s.rows)
            and fits(errors, s.cols, s.rows)):
        return NS_ERROR_SIZE
    s.weight = <float *>cnp.PyArray_DATA(weight)
    s.factor = <const float *>cnp.PyArray_DATA(factor)
    s.gone, s.errors = bytes_of(gone), <float *>cnp.PyArray_DATA(errors)
    with nogil:
        code = ns_settle_columns(&s)
    return code


cdef int fill_order(ns_order *o, cnp.ndarray values, int kind, cnp.ndarray bitmap,
                    cnp.ndarray offsets, int64_t cols, cnp.ndarray masks, cnp.ndarray tile_offsets,
                    cnp.ndarray tile_values, object sums, object scales, int64_t group):
    """Point o at the arrays; NS_ERROR_SIZE where one of them does not fit."""
    cdef int code = fill(&o.m, values, kind, bitmap, offsets, scales, cols, group)
    o.sums, o.totals = NULL, NULL
    if code != NS_OK:
        return code
    if not (is_array(masks, 2, cnp.NPY_UINT64)
            and fits(masks, ns_tile_groups(o.m.rows), ns_tile_words(cols))
            and is_array(tile_offsets, 1, cnp.NPY_INT64)
            and cnp.PyArray_DIM(tile_offsets, 0) == ns_tile_groups(o.m.rows) + 1
            and is_array(tile_values, 1, cnp.PyArray_TYPE(values))
            and cnp.PyArray_SIZE(tile_values) >= cnp.PyArray_SIZE(values)):
        return NS_ERROR_SIZE
    if sums is not None:
        if not are_rows(sums, cnp.NPY_FLOAT32 if group > 0 else cnp.NPY_INT32, o.m.rows) or (
                group == 0 and kind != NS_INT8):
            return NS_ERROR_SIZE
        if group > 0:
            o.totals = <float *>cnp.PyArray_DATA(<cnp.ndarray>sums)
        else:
            o.sums = <int32_t *>cnp.PyArray_DATA(<cnp.ndarray>sums)
    o.counted = <int64_t *>cnp.PyArray_DATA(offsets)
    o.masks = <uint64_t *>cnp.PyArray_DATA(masks)
    o.offsets = <int64_t *>cnp.PyArray_DATA(tile_offsets)
    o.values = bytes_of(tile_values)
    o.value_count = cnp.PyArray_SIZE(values)
    return NS_OK


def retile(cnp.ndarray values, int kind, cnp.ndarray bitmap, cnp.ndarray offsets, int64_t cols,
           cnp.ndarray masks, cnp.ndarray tile_offsets, cnp.ndarray tile_values, object sums,
           object scales, int64_t group):
    """Sums are int32, or with groups float32 and times their scales."""
    cdef ns_order o
    cdef int code = fill_order(&o, values, kind, bitmap, offsets, cols, masks, tile_offsets,
                               tile_values, sums, scales, group)
    if code != NS_OK:
        return code
    with nogil:
        code = ns_retile(&o.m, o.value_count, o.masks, o.offsets, o.values, o.sums, o.totals)
    return code


def work_alone(bint alone):
    ns_work_alone(alone)


def retile_all(list orders, bint mapped):
    """A tuple of the arguments of retile each; offsets are written first. A list of codes."""
    cdef int64_t count = len(orders), i
    cdef ns_order *every = <ns_order *>calloc(count + 1, sizeof(ns_order))
    if every == NULL:
        return [NS_ERROR_MEMORY] * count
    try:
        for i in range(count):
            (values, kind, bitmap, offsets, cols, masks, starts, permuted, sums, scales,
             group) = orders[i]
            every[i].code = fill_order(&every[i], values, kind, bitmap, offsets, cols, masks,
                                       starts, permuted, sums, scales, group)
            every[i].mapped = mapped
        with nogil:
            ns_retile_all(every, count)
        return [every[i].code for i in range(count)]
    finally:
        free(every)


def halved_offsets(object masks, int64_t groups, int64_t words, cnp.ndarray halved):
    cdef const uint64_t *bits = NULL
    cdef int code
    if not (is_array(halved, 1, cnp.NPY_INT64) and cnp.PyArray_DIM(halved, 0) == groups + 1):
        return NS_ERROR_SIZE
    if masks is not None:
        if not (is_array(masks, 2, cnp.NPY_UINT64) and fits(masks, groups, words)):
            return NS_ERROR_SIZE
        bits = <const uint64_t *>cnp.PyArray_DATA(<cnp.ndarray>masks)
    cdef int64_t *to = <int64_t *>cnp.PyArray_DATA(halved)
    with nogil:
        code = ns_halved_offsets(bits, groups, words, to)
    return code


def halve(object masks, int64_t groups, int64_t words, cnp.ndarray offsets, cnp.ndarray values,
          cnp.ndarray halved, cnp.ndarray out):
    cdef const uint64_t *bits = NULL
    cdef int code
    if not (is_array(offsets, 1, cnp.NPY_INT64) and cnp.PyArray_DIM(offsets, 0) == groups + 1
            and is_array(halved, 1, cnp.NPY_INT64) and cnp.PyArray_DIM(halved, 0) == groups + 1
            and is_array(values, 1, cnp.NPY_INT8) and is_array(out, 1, cnp.NPY_INT8)):
        return NS_ERROR_SIZE
    if masks is not None:
        if not (is_array(masks, 2, cnp.NPY_UINT64) and fits(masks, groups, words)):
            return NS_ERROR_SIZE
        bits = <const uint64_t *>cnp.PyArray_DATA(<cnp.ndarray>masks)
    cdef const int64_t *starts = <const int64_t *>cnp.PyArray_DATA(offsets)
    cdef const int64_t *ends = <const int64_t *>cnp.PyArray_DATA(halved)
    cdef const uint8_t *source = bytes_of(values)
    cdef uint8_t *to = bytes_of(out)
    cdef int64_t count = cnp.PyArray_SIZE(values), halved_count = cnp.PyArray_SIZE(out)
    with nogil:
        code = ns_halve(bits, groups, words, starts, source, count, ends, to, halved_count)
    return code


cdef class Tiles:
    """Arrays of a matrix in tile order, looked at once; the arrays must not change."""
    cdef ns_tiles t
    cdef tuple held

    def __init__(self, int kind, int64_t rows, int64_t cols, object masks, cnp.ndarray offsets,
                 cnp.ndarray values, object scales, object sums, int64_t group,
                 bint sparse_loads):
        cdef int64_t groups = ns_tile_groups(rows), words = ns_tile_words(cols)
        if not (rows >= 0 and cols >= 0 and 0 <= kind < NS_KINDS
                and is_array(offsets, 1, cnp.NPY_INT64)
                and cnp.PyArray_DIM(offsets, 0) == groups + 1
                and is_array(values, 1, value_type(kind))
                and (kind != NS_INT8 or sums is not None)):
            raise ValueError(ns_strerror(NS_ERROR_SIZE).decode())
        self.t.kind, self.t.sparse_loads, self.t.rows, self.t.cols = kind, sparse_loads, rows, cols
        self.t.groups, self.t.words = groups, words
        self.t.span, self.t.group_scales, self.t.totals = 0, NULL, NULL
        if group > 0:
            self.take_groups(scales, sums, group, words)
        elif not (are_rows(scales, cnp.NPY_FLOAT32, rows) and are_rows(sums, cnp.NPY_INT32, rows)):
            raise ValueError(ns_strerror(NS_ERROR_SIZE).decode())
        self.t.masks = NULL
        if masks is not None:
            if not (is_array(masks, 2, cnp.NPY_UINT64) and fits(masks, groups, words)):
                raise ValueError(ns_strerror(NS_ERROR_SIZE).decode())
            self.t.masks = <const uint64_t *>cnp.PyArray_DATA(masks)
        self.t.offsets = <const int64_t *>cnp.PyArray_DATA(offsets)
        self.t.values = bytes_of(values)
        self.t.scales = NULL
        if scales is not None and group == 0:
            self.t.scales = <const float *>cnp.PyArray_DATA(scales)
        self.t.sums = NULL
        if sums is not None and group == 0:
            self.t.sums = <const int32_t *>cnp.PyArray_DATA(sums)
        self.held = (masks, offsets, values, scales, sums)
        cdef int code = ns_check_tiles(&self.t, cnp.PyArray_SIZE(values))
        if code != NS_OK:
            raise ValueError(ns_strerror(code).decode())

    cdef int take_groups(self, object scales, object sums, int64_t group, int64_t words) except -1:
        """Scales bfloat16 [groups of rows, groups of columns, 16], sums float32 [rows]."""
        cdef int64_t span = group // NS_TILE_COLS
        cdef cnp.ndarray a
        if not (span > 0 and isinstance(scales, cnp.ndarray) and isinstance(sums, cnp.ndarray)):
            raise ValueError(ns_strerror(NS_ERROR_SIZE).decode())
        a = scales
        if not (is_array(a, 3, cnp.NPY_UINT16) and fits(a, self.t.groups, (words + span - 1) // span)
                and cnp.PyArray_DIM(a, 2) == NS_TILE_ROWS
                and are_rows(sums, cnp.NPY_FLOAT32, self.t.rows)):
            raise ValueError(ns_strerror(NS_ERROR_SIZE).decode())
        self.t.span = span
        self.t.group_scales = <const uint16_t *>cnp.PyArray_DATA(a)
        self.t.totals = <const float *>cnp.PyArray_DATA(<cnp.ndarray>sums)
        return 0

    def matvec(self, cnp.ndarray x, cnp.ndarray out):
        if not (is_array(x, 2, cnp.NPY_FLOAT32) and is_array(out, 2, cnp.NPY_FLOAT32)
                and cnp.PyArray_DIM(x, 1) == self.t.cols
                and fits(out, cnp.PyArray_DIM(x, 0), self.t.rows)):
            return NS_ERROR_SIZE
        return self.matvec_at(<size_t>cnp.PyArray_DATA(x), False, cnp.PyArray_DIM(x, 0),
                              <size_t>cnp.PyArray_DATA(out))

    def matvec_at(self, size_t x, bint halves, int64_t batch, size_t out):
        """Addresses of contiguous x [batch, cols] and out [batch, rows], float32 or bfloat16."""
        cdef int code
        with nogil:
            code = ns_tile_matvec(&self.t, <const void *>x, halves, batch, <void *>out)
        return code

    def matmul_at(self, size_t x, bint halves, int64_t batch, size_t out):
        """The same for many vectors; None where this level has no such product."""
        cdef int code
        with nogil:
            code = ns_tile_matmul(&self.t, <const void *>x, halves, batch, <void *>out)
        return None if code == NS_ERROR_LEVEL else code


cdef const ns_tiles *tiles_of(object tiles, int64_t rows, int64_t cols) except NULL:
    cdef Tiles found = tiles
    if rows >= 0 and (found.t.rows != rows or found.t.cols != cols):
        raise ValueError(ns_strerror(NS_ERROR_SIZE).decode())
    return &found.t


cdef const float *floats_of(object array, int64_t size) except? NULL:
    """NULL of None."""
    if array is None:
        return NULL
    if not (isinstance(array, cnp.ndarray) and cnp.PyArray_TYPE(array) == cnp.NPY_FLOAT32
            and cnp.PyArray_IS_C_CONTIGUOUS(array) and cnp.PyArray_SIZE(array) == size):
        raise ValueError(ns_strerror(NS_ERROR_SIZE).decode())
    return <const float *>cnp.PyArray_DATA(array)


cdef class Decoder:
    """A whole decoder for one token at a time; layers are dictionaries by the names of core.h."""
    cdef ns_decoder d
    cdef ns_layer *layers
    cdef int64_t vocabulary
    cdef list held
    cdef readonly object spent

    def __cinit__(self):
        self.layers = NULL

    def __dealloc__(self):
        free(self.layers)

    def __init__(self, dict sizes, list layers, object head, cnp.ndarray last_norm):
        cdef ns_decoder *d = &self.d
        cdef int64_t i, count = len(layers), heads = 1, kv_heads = 1, inner = 1
        d.count, d.width = count, sizes["width"]
        d.head_width, d.positions = sizes["head_width"], sizes["positions"]
        d.eps, d.scale, d.cap = sizes["eps"], sizes["scale"], sizes["cap"]
        d.activation, d.halves = sizes["activation"], sizes["halves"]
        if not (d.positions > 0 and d.width > 0 and d.head_width > 0 and d.head_width % 2 == 0):
            raise ValueError(ns_strerror(NS_ERROR_SIZE).decode())
        self.layers = <ns_layer *>calloc(max(count, 1), sizeof(ns_layer))
        if self.layers == NULL:
            raise MemoryError
        d.layers = self.layers
        for i in range(count):
            self.fill_layer(&self.layers[i], layers[i])
            heads = max(heads, self.layers[i].heads)
            kv_heads = max(kv_heads, self.layers[i].kv_heads)
            inner = max(inner, self.layers[i].inner)
        self.vocabulary = (<Tiles?>head).t.rows
        d.head = tiles_of(head, self.vocabulary, d.width)
        d.last_norm = floats_of(last_norm, d.width)
        own, shared = heads * d.head_width, kv_heads * d.head_width
        widest = max(d.width, own, inner)
        scratch = [np.empty(n, np.float32) for n in (
            d.width, own, own, shared, shared, inner, inner, heads * d.positions,
            ns_vector_items(widest) + 16)]
        d.normed = <float *>cnp.PyArray_DATA(scratch[0])
        d.queries = <float *>cnp.PyArray_DATA(scratch[1])
        d.mixed = <float *>cnp.PyArray_DATA(scratch[2])
        d.keys = <float *>cnp.PyArray_DATA(scratch[3])
        d.values = <float *>cnp.PyArray_DATA(scratch[4])
        d.gates = <float *>cnp.PyArray_DATA(scratch[5])
        d.ups = <float *>cnp.PyArray_DATA(scratch[6])
        d.scores = <float *>cnp.PyArray_DATA(scratch[7])
        d.vectors = <uint32_t *>cnp.PyArray_DATA(scratch[8])
        self.spent = np.zeros(3)
        d.spent = <double *>cnp.PyArray_DATA(<cnp.ndarray>self.spent)
        self.held = [layers, head, last_norm, scratch]

    cdef int fill_layer(self, ns_layer *to, dict layer) except -1:
        cdef ns_decoder *d = &self.d
        cdef int64_t own = (<Tiles?>layer["q"]).t.rows, shared = (<Tiles?>layer["k"]).t.rows
        to.heads, to.kv_heads = own // d.head_width, shared // d.head_width
        to.inner = (<Tiles?>layer["gate"]).t.rows
        if not (shared > 0 and own % shared == 0 and shared % d.head_width == 0 and to.inner > 0):
            raise ValueError(ns_strerror(NS_ERROR_SIZE).decode())
        to.q = tiles_of(layer["q"], own, d.width)
        to.k = tiles_of(layer["k"], shared, d.width)
        to.v = tiles_of(layer["v"], shared, d.width)
        to.o = tiles_of(layer["o"], d.width, own)
        to.gate = tiles_of(layer["gate"], to.inner, d.width)
        to.up = tiles_of(layer["up"], to.inner, d.width)
        to.down = tiles_of(layer["down"], d.width, to.inner)
        to.q_bias = floats_of(layer.get("q_bias"), own)
        to.k_bias = floats_of(layer.get("k_bias"), shared)
        to.v_bias = floats_of(layer.get("v_bias"), shared)
        to.o_bias = floats_of(layer.get("o_bias"), d.width)
        to.gate_bias = floats_of(layer.get("gate_bias"), to.inner)
        to.up_bias = floats_of(layer.get("up_bias"), to.inner)
        to.down_bias = floats_of(layer.get("down_bias"), d.width)
        to.before_attention = floats_of(layer["before_attention"], d.width)
        to.after_attention = floats_of(layer.get("after_attention"), d.width)
        to.before_feed = floats_of(layer["before_feed"], d.width)
        to.after_feed = floats_of(layer.get("after_feed"), d.width)
        to.q_norm = floats_of(layer.get("q_norm"), d.head_width)
        to.k_norm = floats_of(layer.get("k_norm"), d.head_width)
        to.cosine = floats_of(layer["cosine"], d.positions * d.head_width)
        to.sine = floats_of(layer["sine"], d.positions * d.head_width)
        to.window = layer["window"]
        for name in ("keys", "values"):
            cache = layer[name]
            if not (isinstance(cache, cnp.ndarray) and cnp.PyArray_IS_C_CONTIGUOUS(cache)
                    and cnp.PyArray_SIZE(cache) == shared * d.positions
                    and cnp.PyArray_ITEMSIZE(cache) == (2 if d.halves else 4)):
                raise ValueError(ns_strerror(NS_ERROR_SIZE).decode())
        to.keys = cnp.PyArray_DATA(<cnp.ndarray>layer["keys"])
        to.values = cnp.PyArray_DATA(<cnp.ndarray>layer["values"])
        return 0

    def step(self, int64_t position, cnp.ndarray x, cnp.ndarray logits):
        cdef int code
        if not (is_array(x, 1, cnp.NPY_FLOAT32) and is_array(logits, 1, cnp.NPY_FLOAT32)
                and cnp.PyArray_DIM(x, 0) == self.d.width
                and cnp.PyArray_DIM(logits, 0) == self.vocabulary):
            return NS_ERROR_SIZE
        cdef float *embedding = <float *>cnp.PyArray_DATA(x)
        cdef float *to = <float *>cnp.PyArray_DATA(logits)
        with nogil:
            code = ns_decode(&self.d, position, embedding, to)
        return code
