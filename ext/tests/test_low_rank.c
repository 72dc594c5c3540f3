/* Masked products of low rank at every level against loops over whole numbers, which floats hold
 * exactly; buffers end where their arrays do, so that a sanitizer sees any step beyond them. */
#include "levels.h"

static const int64_t shapes[][3] = {{1, 1, 1}, {3, 7, 2}, {5, 64, 4},  {2, 65, 9},
                                    {9, 129, 5}, {6, 600, 3}, {33, 1100, 8}, {0, 9, 2}, {4, 0, 2}};

static float small(void) { return (float)(random_bits() % 7) - 3.0f; }

static float *numbers(int64_t count) {
    float *made = malloc((size_t)count * sizeof *made + 1);
    for (int64_t i = 0; i < count; i++) made[i] = small();
    return made;
}

typedef struct {
    ns_low_rank m;
    float *a, *b, *tile;
    uint8_t *mask, *bitmap;
} sample;

static sample make(const int64_t *shape, int percent) {
    int64_t rows = shape[0], cols = shape[1], rank = shape[2], words = (cols + 63) / 64;
    sample s = {.a = numbers(rank * cols), .b = numbers(rows * rank), .tile = numbers(rows * cols)};
    s.mask = malloc((size_t)(rows * cols) + 1);
    s.bitmap = malloc((size_t)(8 * rows * words) + 1);
    for (int64_t i = 0; i < rows * cols; i++) s.mask[i] = (int)(random_bits() % 100) < percent;
    CHECK(ns_pack_mask(s.mask, rows, cols, s.bitmap) == NS_OK);
    s.m = (ns_low_rank){.rows = rows, .cols = cols, .words = words, .rank = rank,
                        .bitmap = s.bitmap, .a = s.a, .b = s.b, .scale = 2.0f};
    return s;
}

static void drop(sample *s) {
    free(s->a);
    free(s->b);
    free(s->tile);
    free(s->mask);
    free(s->bitmap);
}

static float update(const sample *s, int64_t r, int64_t j) {
    float sum = 0.0f;
    for (int64_t k = 0; k < s->m.rank; k++)
        sum += 2.0f * s->b[r * s->m.rank + k] * s->a[k * s->m.cols + j];
    return s->mask[r * s->m.cols + j] ? sum : 0.0f;
}

static void check_add(sample *s) {
    const ns_low_rank *m = &s->m;
    int64_t count = m->rows * m->cols;
    float *out = numbers(count);
    uint16_t *halves = malloc((size_t)count * sizeof *halves + 1);
    CHECK(ns_low_rank_add(m, NULL, 0, out, 0) == NS_OK);
    for (int64_t i = 0; i < count; i++) CHECK(out[i] == update(s, i / m->cols, i % m->cols));
    CHECK(ns_low_rank_add(m, s->tile, 0, halves, 1) == NS_OK);
    for (int64_t i = 0; i < count; i++)
        CHECK(halves[i] == ns_to_half(s->tile[i] + update(s, i / m->cols, i % m->cols)));
    for (int64_t i = 0; i < count; i++) halves[i] = ns_to_half(s->tile[i]);
    CHECK(ns_low_rank_add(m, halves, 1, out, 0) == NS_OK);
    CHECK(ns_low_rank_add(m, s->tile, 0, s->tile, 0) == NS_OK); /* onto itself */
    for (int64_t i = 0; i < count; i++) CHECK(out[i] == s->tile[i]);
    free(out);
    free(halves);
}

static void check_grad(sample *s) {
    const ns_low_rank *m = &s->m;
    float *grad_a = numbers(m->rank * m->cols), *grad_b = numbers(m->rows * m->rank);
    float *wanted = malloc((size_t)(m->rank * m->cols) * sizeof *wanted + 1);
    memcpy(wanted, grad_a, (size_t)(m->rank * m->cols) * sizeof *wanted);
    CHECK(ns_low_rank_grad(m, s->tile, grad_a, grad_b) == NS_OK);
    for (int64_t r = 0; r < m->rows; r++) {
        for (int64_t k = 0; k < m->rank; k++) {
            float sum = 0.0f;
            for (int64_t j = 0; j < m->cols; j++) {
                float p = s->mask[r * m->cols + j] ? s->tile[r * m->cols + j] : 0.0f;
                sum += p * s->a[k * m->cols + j];
                wanted[k * m->cols + j] += 2.0f * s->b[r * m->rank + k] * p;
            }
            CHECK(grad_b[r * m->rank + k] == 2.0f * sum);
        }
    }
    for (int64_t i = 0; i < m->rank * m->cols; i++) CHECK(grad_a[i] == wanted[i]);
    free(grad_a);
    free(grad_b);
    free(wanted);
}

static void check_all(void) {
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        for (int percent = 0; percent <= 100; percent += 50) {
            sample s = make(shapes[i], percent);
            check_grad(&s);
            check_add(&s);
            drop(&s);
        }
    }
}

int main(void) {
    at_every_level(check_all);
    ns_low_rank wrong = {.rows = 1, .cols = 65, .words = 1, .rank = 1};
    CHECK(ns_low_rank_add(&wrong, NULL, 0, NULL, 0) == NS_ERROR_SIZE);
    CHECK(ns_low_rank_grad(&wrong, NULL, NULL, NULL) == NS_ERROR_SIZE);
    return 0;
}
