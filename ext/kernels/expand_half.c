/* Dense bfloat16 rows: a row at a time in float32, which stays in the first cache, then rounded. */
#include "kernels.h"

ns_expand_float_fn NS_NAME(expand_float);

int NS_NAME(expand_half)(const ns_matrix *m, float *row, uint16_t *out, int64_t first,
                         int64_t last) {
    int failed = 0;
    for (int64_t r = first; r < last; r++, out += m->cols) {
        if (NS_NAME(expand_float)(m, row, r, r + 1)) {
            failed = 1;
            continue;
        }
        for (int64_t j = 0; j < m->cols; j++) out[j] = ns_to_half(row[j]);
    }
    return failed;
}
