"""What the shell asks of an array before it hands its pointer to C."""
cimport numpy as cnp
from libc.stdint cimport int64_t, uint8_t, uint16_t

from core cimport NS_ERROR_SIZE, NS_KINDS, NS_OK, ns_combination, ns_matrix


cdef inline int item_size(int kind) noexcept nogil:
    """Bytes of a value; the order is that of enum ns_kind."""
    return 4 if kind == 0 else 1 if kind >= 3 else 2


cdef inline int value_type(int kind) noexcept nogil:
    """NumPy's number for the type that carries such values: half floats travel as uint16."""
    return cnp.NPY_FLOAT32 if kind == 0 else cnp.NPY_INT8 if kind >= 3 else cnp.NPY_UINT16


cdef inline bint is_array(cnp.ndarray a, int dims, int type_number):
    return (cnp.PyArray_IS_C_CONTIGUOUS(a) and cnp.PyArray_NDIM(a) == dims
            and cnp.PyArray_TYPE(a) == type_number)


cdef inline bint fits(cnp.ndarray a, int64_t rows, int64_t cols):
    return cnp.PyArray_DIM(a, 0) == rows and cnp.PyArray_DIM(a, 1) == cols


cdef inline bint are_rows(object a, int type_number, int64_t rows):
    """None, or one number a row."""
    return a is None or (isinstance(a, cnp.ndarray) and is_array(a, 1, type_number)
                         and cnp.PyArray_DIM(a, 0) == rows)


cdef inline bint is_mask_and_bitmap(cnp.ndarray mask, cnp.ndarray bitmap):
    return (is_array(mask, 2, cnp.NPY_UINT8) and is_array(bitmap, 2, cnp.NPY_UINT8)
            and fits(bitmap, cnp.PyArray_DIM(mask, 0), (cnp.PyArray_DIM(mask, 1) + 63) // 64 * 8))


cdef inline uint8_t *bytes_of(cnp.ndarray a):
    return <uint8_t *>cnp.PyArray_DATA(a)


cdef inline int fill(ns_matrix *m, cnp.ndarray values, int kind, cnp.ndarray bitmap,
                     cnp.ndarray offsets, object scales, int64_t cols, int64_t group=0):
    """Point m at the arrays; NS_ERROR_SIZE where one of them does not fit.

    Scales are float32 [rows], or of groups of columns bfloat16 [rows, ceil(cols / group)].
    """
    if not (is_array(bitmap, 2, cnp.NPY_UINT8) and is_array(offsets, 1, cnp.NPY_INT64)
            and cnp.PyArray_IS_C_CONTIGUOUS(values) and cnp.PyArray_NDIM(values) == 1
            and cnp.PyArray_ISALIGNED(offsets) and cols >= 0 and 0 <= kind < NS_KINDS
            and cnp.PyArray_ITEMSIZE(values) == item_size(kind)):
        return NS_ERROR_SIZE
    m.kind = kind
    m.rows = cnp.PyArray_DIM(bitmap, 0)
    m.cols = cols
    m.words = (cols + 63) // 64
    m.bitmap = <const uint8_t *>cnp.PyArray_DATA(bitmap)
    m.offsets = <const int64_t *>cnp.PyArray_DATA(offsets)
    m.values = <const uint8_t *>cnp.PyArray_DATA(values)
    m.scales = NULL
    m.group, m.group_scales = 0, NULL
    if cnp.PyArray_DIM(bitmap, 1) != 8 * m.words or cnp.PyArray_DIM(offsets, 0) != m.rows + 1:
        return NS_ERROR_SIZE
    if group > 0:
        if not (isinstance(scales, cnp.ndarray) and is_array(scales, 2, cnp.NPY_UINT16)
                and cnp.PyArray_ISALIGNED(scales)
                and fits(scales, m.rows, (cols + group - 1) // group)):
            return NS_ERROR_SIZE
        m.group, m.group_scales = group, <const uint16_t *>cnp.PyArray_DATA(scales)
    elif scales is not None:
        if not (isinstance(scales, cnp.ndarray) and is_array(scales, 1, cnp.NPY_FLOAT32)
                and cnp.PyArray_ISALIGNED(scales) and cnp.PyArray_DIM(scales, 0) == m.rows):
            return NS_ERROR_SIZE
        m.scales = <const float *>cnp.PyArray_DATA(scales)
    return NS_OK


cdef inline bint is_frame(cnp.ndarray a, cnp.ndarray like):
    return (cnp.PyArray_IS_F_CONTIGUOUS(a) and cnp.PyArray_NDIM(a) == 2
            and cnp.PyArray_TYPE(a) == cnp.PyArray_TYPE(like)
            and fits(a, cnp.PyArray_DIM(like, 0), cnp.PyArray_DIM(like, 1)))


cdef inline int frame_sizes(ns_combination *c, list sources, list out, object scale,
                            object scaled) except -1:
    """Point c at the arrays; NS_ERROR_SIZE where one of them does not fit the first."""
    cdef cnp.ndarray first = sources[0], a
    cdef int i, kind = cnp.PyArray_TYPE(first)
    if kind not in (cnp.NPY_FLOAT64, cnp.NPY_FLOAT32) or len(sources) > 8 or len(out) > 2:
        return NS_ERROR_SIZE
    c.item = 8 if kind == cnp.NPY_FLOAT64 else 4
    c.rows, c.columns = cnp.PyArray_DIM(first, 0), cnp.PyArray_DIM(first, 1)
    c.count, c.outputs = len(sources), len(out)
    for i in range(c.count):
        a = sources[i]
        if not is_frame(a, first):
            return NS_ERROR_SIZE
        c.sources[i] = cnp.PyArray_DATA(a)
    for i in range(c.outputs):
        a = out[i]
        if not is_frame(a, first):
            return NS_ERROR_SIZE
        c.out[i] = cnp.PyArray_DATA(a)
    c.scale = c.scaled = NULL
    if scaled is not None:
        a = scale
        if not (is_array(a, 1, kind) and cnp.PyArray_DIM(a, 0) == c.rows):
            return NS_ERROR_SIZE
        c.scale = cnp.PyArray_DATA(a)
        a = scaled
        if not is_frame(a, first):
            return NS_ERROR_SIZE
        c.scaled = cnp.PyArray_DATA(a)
    return NS_OK
