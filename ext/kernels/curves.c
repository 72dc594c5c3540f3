/* Output error of a row as its weights go one after the other: d^T G d with d the weights gone.
 *
 * v = G d is carried along. A weight that goes adds w (2 v_j + w G_jj) to the error and w G_j to v,
 * so that all levels together cost one pass over the sorted row instead of a product each. Four
 * weights go at once, so that v is read and written a quarter as often. G is symmetric: its row j
 * stands for its column. Every element of v sees the same additions in the same order at every
 * instruction level, so all levels give the same bits. */
#include "kernels.h"

enum { GROUP = 4 };

static void take(const ns_curves *c, const float *weight, const int32_t *order, int64_t from,
                 int n, float *v, double *error) {
    const float *g[GROUP];
    float w[GROUP];
    for (int i = 0; i < n; i++) {
        int64_t j = order[from + i];
        g[i] = c->gram + j * c->cols;
        w[i] = weight[j];
        double along = v[j];
        for (int k = 0; k < i; k++) along += (double)w[k] * g[k][j];
        *error += (double)w[i] * (2.0 * along + (double)w[i] * g[i][j]);
    }
    if (n == GROUP) {
        for (int64_t j = 0; j < c->cols; j++)
            v[j] += (w[0] * g[0][j] + w[1] * g[1][j]) + (w[2] * g[2][j] + w[3] * g[3][j]);
        return;
    }
    for (int i = 0; i < n; i++)
        for (int64_t j = 0; j < c->cols; j++) v[j] += w[i] * g[i][j];
}

void NS_NAME(curves)(const ns_curves *c, int64_t first, int64_t last) {
    for (int64_t row = first; row < last; row++) {
        const int32_t *order = c->order + row * c->cols;
        const int64_t *counts = c->counts + row * c->levels;
        float *v = c->work + row * c->cols;
        double error = 0.0;
        int64_t gone = 0;
        memset(v, 0, (size_t)c->cols * sizeof *v);
        for (int64_t level = 0; level < c->levels; level++) {
            while (gone < counts[level]) {
                int64_t left = counts[level] - gone;
                int n = left < GROUP ? (int)left : GROUP;
                take(c, c->weight + row * c->cols, order, gone, n, v, &error);
                gone += n;
            }
            c->out[row * c->levels + level] = error;
        }
    }
}
