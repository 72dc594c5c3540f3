/* Products in tile order, one weight at a time: the reference for tiles_vector.c. */
#include "lanes.h"

int NS_NAME(tile_prepare)(const ns_tiles *t, const void *x, int halves, float *scratch,
                          uint32_t *to) {
    (void)scratch;
    ns_tile_floats(t, x, halves, to);
    return 0;
}

#define GROUP(type)                                                                         \
    static void group_##type(const ns_tiles *t, int64_t g, const uint32_t *data, float *sum) { \
        const uint8_t *p = t->values + t->offsets[g] * SIZE_##type;                         \
        const int lane = ns_tile_lane(t->kind), block = NS_TILE_ROWS * lane;                \
        for (int64_t i = 0; i < t->words; i++) {                                            \
            uint64_t word = t->masks ? t->masks[g * t->words + i] : ~(uint64_t)0;           \
            float x[NS_TILE_COLS];                                                          \
            memcpy(x, data + NS_TILE_COLS * i, sizeof x);                                   \
            for (; word; word &= word - 1, p += SIZE_##type) {                              \
                int at = __builtin_ctzll(word), in = at % block;                            \
                sum[in / lane] += one_##type(p) * x[at / block * lane + in % lane];         \
            }                                                                               \
        }                                                                                   \
    }

GROUP(fp32)
GROUP(bf16)
GROUP(fp16)
GROUP(int8)

/* The same with a scale for every group of columns, int8 or int4. */
static void group_scaled(const ns_tiles *t, int64_t g, const uint32_t *data, float *total) {
    const uint8_t *lower = t->values + t->offsets[g], *upper = lower;
    const int nibbles = t->kind == NS_INT4;
    for (int64_t begin = 0, k = 0; begin < t->words; begin += t->span, k++) {
        const uint16_t *scales = t->group_scales + (g * ns_tile_spans(t) + k) * NS_TILE_ROWS;
        float sum[NS_TILE_ROWS] = {0};
        int64_t end = begin + t->span < t->words ? begin + t->span : t->words;
        for (int64_t i = begin; i < end; i++) {
            uint64_t word = t->masks ? t->masks[g * t->words + i] : ~(uint64_t)0;
            const uint8_t **p = nibbles && i % 2 ? &upper : &lower;
            float x[NS_TILE_COLS];
            memcpy(x, data + NS_TILE_COLS * i, sizeof x);
            for (; word; word &= word - 1, *p += 1) {
                int at = __builtin_ctzll(word);
                int value = !nibbles ? (int8_t)**p : (int8_t)(i % 2 ? **p & 240 : **p << 4) / 16;
                sum[at / NS_TILE_COLS] += (float)value * x[at % NS_TILE_COLS];
            }
        }
        for (int r = 0; r < NS_TILE_ROWS; r++) total[r] += sum[r] * ns_from_half(scales[r]);
    }
}

void NS_NAME(tile_matvec)(const ns_tiles *t, const ns_vectors *x, float *out, int64_t stride,
                          int64_t first, int64_t last) {
    for (int64_t g = first; g < last; g++) {
        int64_t row = NS_TILE_ROWS * g;
        int rows = t->rows - row < NS_TILE_ROWS ? (int)(t->rows - row) : NS_TILE_ROWS;
        for (int b = 0; b < x->batch; b++) {
            const uint32_t *data = x->data + b * x->stride;
            float sum[NS_TILE_ROWS] = {0};
            switch (t->span ? NS_KINDS : t->kind) {
            case NS_FP32: group_fp32(t, g, data, sum); break;
            case NS_BF16: group_bf16(t, g, data, sum); break;
            case NS_FP16: group_fp16(t, g, data, sum); break;
            case NS_INT8: group_int8(t, g, data, sum); break;
            default: group_scaled(t, g, data, sum); break;
            }
            for (int r = 0; r < rows; r++) {
                out[b * stride + row + r] = sum[r] * (t->scales ? t->scales[row + r] : 1.0f);
            }
        }
    }
}
