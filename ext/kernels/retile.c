/* From row order to tile order: a group's values are those of its rows, permuted. */
#include "lanes.h"

static int rows_agree(const ns_matrix *m, int64_t row, int rows) {
    for (int r = 0; r < rows; r++) {
        if (!ns_row_agrees(m, row + r)) return 0;
    }
    return 1;
}

static void sum_values(const ns_matrix *m, int64_t row, int rows, int32_t *sums) {
    for (int r = 0; r < rows; r++) {
        const int8_t *p = (const int8_t *)m->values;
        int32_t sum = 0;
        for (int64_t i = m->offsets[row + r]; i < m->offsets[row + r + 1]; i++) sum += p[i];
        sums[row + r] = sum;
    }
}

/* Values times the scales of their groups. */
static void total_values(const ns_matrix *m, int64_t row, int rows, float *totals) {
    const int64_t spans = (m->cols + m->group - 1) / m->group;
    const int step = m->group < 64 ? (int)m->group : 64; /* bits that certainly share a scale */
    const uint64_t low = step < 64 ? ((uint64_t)1 << step) - 1 : ~(uint64_t)0;
    for (int64_t r = row; r < row + rows; r++) {
        const int8_t *p = (const int8_t *)m->values + m->offsets[r];
        double total = 0;
        for (int64_t j = 0; j < m->cols; j += step) {
            uint64_t bits = ns_word(m->bitmap, r * m->words + j / 64) >> (j % 64) & low;
            int32_t sum = 0;
            for (int count = __builtin_popcountll(bits); count > 0; count--) sum += *p++;
            total += (double)sum * ns_from_half(m->group_scales[r * spans + j / m->group]);
        }
        totals[r] = (float)total;
    }
}

/* 64 columns of 16 rows as items, [16][64] in a row each; rows beyond the matrix are empty. */
typedef struct {
    uint8_t items[NS_TILE_ROWS][64 * 4] __attribute__((aligned(64)));
    uint64_t bits[NS_TILE_ROWS];
} block;

static void read_block(const ns_matrix *m, int64_t row, int rows, int64_t word, int item,
                       const uint8_t **from, block *to) {
    for (int r = 0; r < NS_TILE_ROWS; r++) {
        uint64_t bits = 0;
        if (r < rows && word < m->words) bits = ns_word(m->bitmap, (row + r) * m->words + word);
        to->bits[r] = bits;
        if (r >= rows) continue;
        if (item == 1) expand_8(from[r], bits, to->items[r]);
        else if (item == 2) expand_16(from[r], bits, to->items[r]);
        else expand_32(from[r], bits, to->items[r]);
        from[r] += item * __builtin_popcountll(bits);
    }
}

#if NS_ISA == 3
#include "retile_vector.h"
#else

/* One word: items [4 / lane][16][lane] of four columns that begin at `column` of the block. */
static uint64_t write_word(const block *from, int column, int item, int lane, uint8_t **to) {
    uint64_t mask = 0;
    int at = 0;
    for (int j = column; j < column + NS_TILE_COLS; j += lane) {
        for (int r = 0; r < NS_TILE_ROWS; r++) {
            for (int i = j; i < j + lane; i++, at++) {
                if (!(from->bits[r] >> i & 1)) continue;
                mask |= (uint64_t)1 << at;
                memcpy(*to, from->items[r] + item * i, (size_t)item);
                *to += item;
            }
        }
    }
    return mask;
}

static void write_block(const block *from, int item, int lane, uint64_t *masks, int words,
                        uint8_t **to) {
    for (int w = 0; w < words; w++) {
        masks[w] = write_word(from, NS_TILE_COLS * w, item, lane, to);
    }
}

#endif

int NS_NAME(retile)(const ns_matrix *m, int64_t words, uint64_t *masks, uint8_t *values,
                    int32_t *sums, float *totals, int64_t first, int64_t last) {
    const int lane = ns_tile_lane(m->kind);
    const int item = ns_item_size(m->kind);
    int failed = 0;
    for (int64_t g = first; g < last; g++) {
        int64_t row = NS_TILE_ROWS * g;
        int rows = m->rows - row < NS_TILE_ROWS ? (int)(m->rows - row) : NS_TILE_ROWS;
        const uint8_t *from[NS_TILE_ROWS] = {0};
        uint8_t *to = values + item * m->offsets[row];
        block now;
        if (!rows_agree(m, row, rows)) {
            failed = 1;
            continue;
        }
        for (int r = 0; r < rows; r++) from[r] = m->values + item * m->offsets[row + r];
        memset(&now, 0, sizeof now);
        for (int64_t w = 0; w < words; w += 16) {
            int count = words - w < 16 ? (int)(words - w) : 16;
            read_block(m, row, rows, w / 16, item, from, &now);
            write_block(&now, item, lane, masks + g * words + w, count, &to);
        }
        if (sums) sum_values(m, row, rows, sums);
        if (totals) total_values(m, row, rows, totals);
    }
    return failed;
}
