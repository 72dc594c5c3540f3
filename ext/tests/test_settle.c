/* Columns settled at every level against a loop, with numbers that floats hold exactly; buffers end
 * where their arrays do, so that a sanitizer sees any step beyond them. */
#include "levels.h"

static const int64_t shapes[][2] = {{1, 1}, {3, 2}, {16, 5}, {65, 4}, {130, 7}, {300, 3}, {0, 3},
                                    {5, 0}, {5000, 3}};

static void check_one(int64_t rows, int64_t cols) {
    size_t count = (size_t)(rows * cols);
    float *weight = malloc(count * 4 + 1), *errors = malloc(count * 4 + 1);
    float *wanted = malloc(count * 4 + 1), *lost = malloc(count * 4 + 1);
    float *factor = malloc((size_t)(cols * cols) * 4 + 1);
    uint8_t *gone = malloc(count + 1);
    for (size_t i = 0; i < count; i++) {
        wanted[i] = weight[i] = (float)(random_bits() % 7) - 3.0f;
        gone[i] = random_bits() % 2;
    }
    for (int64_t k = 0; k < cols; k++)
        for (int64_t j = 0; j < cols; j++)
            factor[k * cols + j] = j == k ? 2.0f : (float)(random_bits() % 3) - 1.0f;
    ns_settle s = {.rows = rows, .cols = cols, .weight = weight, .factor = factor, .gone = gone,
                   .errors = errors};
    CHECK(ns_settle_columns(&s) == NS_OK);
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t k = 0; k < cols; k++) {
            float w = wanted[k * rows + r];
            for (int64_t j = 0; j < k; j++) w -= factor[k * cols + j] * lost[j * rows + r];
            lost[k * rows + r] = gone[k * rows + r] ? w / 2.0f : 0.0f;
            CHECK(errors[k * rows + r] == lost[k * rows + r]);
            CHECK(weight[k * rows + r] == (gone[k * rows + r] ? 0.0f : w));
        }
    }
    free(weight);
    free(errors);
    free(wanted);
    free(lost);
    free(factor);
    free(gone);
}

static void check_all(void) {
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        check_one(shapes[i][0], shapes[i][1]);
}

int main(void) {
    at_every_level(check_all);
    ns_settle wrong = {.rows = 1, .cols = NS_SETTLE_COLS + 1};
    CHECK(ns_settle_columns(&wrong) == NS_ERROR_SIZE);
    return 0;
}
