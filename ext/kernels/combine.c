/* Linear combinations of frames, and a frame with its rows scaled, in one pass over memory.
 *
 * The products of a tangent step are BLAS's; what is left is element by element and would cost a
 * pass each in NumPy. A tile stays in the first cache while everything is formed from it. The order
 * of additions is that of the sources, without fused multiply-add, so all levels give the same
 * bits. The loops are written so that the compiler vectorises them. */
#include "kernels.h"

enum { TILE = 256 };

#define COMBINE(name, real)                                                                     \
    static void name(const ns_combination *c, int64_t column) {                                 \
        real sums[NS_COMBINED][TILE], scaled[TILE];                                             \
        const real *scale = c->scale;                                                           \
        for (int64_t first = 0; first < c->rows; first += TILE) {                               \
            int64_t at = column * c->rows + first;                                              \
            int n = (int)(c->rows - first < TILE ? c->rows - first : TILE);                     \
            for (int o = 0; o < c->outputs; o++) {                                              \
                const real *x = (const real *)c->sources[0] + at;                               \
                real w = (real)c->weights[o][0], *sum = sums[o];                                \
                for (int i = 0; i < n; i++) sum[i] = w * x[i];                                  \
                for (int s = 1; s < c->count; s++) {                                            \
                    x = (const real *)c->sources[s] + at;                                       \
                    w = (real)c->weights[o][s];                                                 \
                    if (w != 0)                                                                 \
                        for (int i = 0; i < n; i++) sum[i] += w * x[i];                         \
                }                                                                               \
            }                                                                                   \
            if (c->scaled != NULL) {                                                            \
                const real *x = c->scaled_from < 0 ? sums[0]                                    \
                                                   : (const real *)c->sources[c->scaled_from] + at; \
                for (int i = 0; i < n; i++) scaled[i] = scale[first + i] * x[i];                \
                memcpy((real *)c->scaled + at, scaled, (size_t)n * sizeof(real));               \
            }                                                                                   \
            for (int o = 0; o < c->outputs; o++)                                                \
                memcpy((real *)c->out[o] + at, sums[o], (size_t)n * sizeof(real));              \
        }                                                                                       \
    }

COMBINE(combine_double, double)
COMBINE(combine_float, float)

void NS_NAME(combine)(const ns_combination *c, int64_t first, int64_t last) {
    for (int64_t column = first; column < last; column++) {
        if (c->item == 8) combine_double(c, column);
        else combine_float(c, column);
    }
}
