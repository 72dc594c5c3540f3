/* What stands between the products of a decoder block, for one token: norms, rotations, attention
 * over the cache, gated activations. Plain loops over sixteen partial sums, which every level's
 * compiler turns into its own vectors. */
#include "kernels.h"

enum { LANES = 16 };

static inline float sum_of(const float *part) {
    float sum[4];
    for (int i = 0; i < 4; i++) sum[i] = (part[i] + part[i + 4]) + (part[i + 8] + part[i + 12]);
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/* e^x to 2 in the last place: 2^n times a polynomial on [-1/2, 1/2] log 2. */
static inline float exponential(float x) {
    x = x < -87.0f ? -87.0f : x > 88.0f ? 88.0f : x;
    float n = x * 1.44269504f + 12582912.0f; /* rounds to the integer in the low bits */
    int32_t bits;
    memcpy(&bits, &n, sizeof bits);
    n -= 12582912.0f;
    float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    int32_t power = (int32_t)(((uint32_t)(bits - 0x4b400000) + 127u) << 23);
    float scale;
    memcpy(&scale, &power, sizeof scale);
    return p * scale;
}

static inline float widened(uint16_t half) {
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

void NS_NAME(rms_norm)(const float *x, const float *weight, float eps, int64_t n, float *out) {
    float part[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (int k = 0; k < LANES; k++) part[k] += x[i + k] * x[i + k];
    }
    for (int k = 0; i < n; i++, k++) part[k] += x[i] * x[i];
    float scale = 1.0f / __builtin_sqrtf(sum_of(part) / (float)n + eps);
    for (i = 0; i < n; i++) out[i] = x[i] * scale * weight[i];
}

/* The halves of every head are the two coordinates of its planes. */
void NS_NAME(rotate)(float *x, int64_t heads, int64_t width, const float *cosine,
                     const float *sine) {
    int64_t half = width / 2;
    for (int64_t h = 0; h < heads; h++, x += width) {
        for (int64_t i = 0; i < half; i++) {
            float a = x[i], b = x[i + half];
            x[i] = a * cosine[i] - b * sine[i];
            x[i + half] = b * cosine[i + half] + a * sine[i + half];
        }
    }
}

#define ATTEND(name, type, value_of)                                                        \
    static void name(const float *q, const type *keys, const type *values, int64_t count,   \
                     int64_t width, float scale, float cap, float *scores, float *out) {    \
        float largest = -3.0e38f, total = 0, part[LANES] = {0};                             \
        for (int64_t t = 0; t < count; t++, keys += width) {                                \
            float dot[LANES] = {0};                                                         \
            int64_t i = 0;                                                                  \
            for (; i + LANES <= width; i += LANES) {                                        \
                for (int k = 0; k < LANES; k++) dot[k] += q[i + k] * value_of(keys[i + k]); \
            }                                                                               \
            for (int k = 0; i < width; i++, k++) dot[k] += q[i] * value_of(keys[i]);        \
            float score = sum_of(dot) * scale;                                              \
            if (cap > 0) score = cap * __builtin_tanhf(score / cap);                        \
            scores[t] = score;                                                              \
            largest = score > largest ? score : largest;                                    \
        }                                                                                   \
        int64_t t = 0;                                                                      \
        for (; t + LANES <= count; t += LANES) {                                            \
            for (int k = 0; k < LANES; k++) {                                               \
                scores[t + k] = exponential(scores[t + k] - largest);                       \
                part[k] += scores[t + k];                                                   \
            }                                                                               \
        }                                                                                   \
        for (int k = 0; t < count; t++, k++) {                                              \
            scores[t] = exponential(scores[t] - largest);                                   \
            part[k] += scores[t];                                                           \
        }                                                                                   \
        total = sum_of(part);                                                               \
        memset(out, 0, (size_t)width * sizeof *out);                                        \
        for (t = 0; t < count; t++, values += width) {                                      \
            float share = scores[t] / total;                                                \
            for (int64_t i = 0; i < width; i++) out[i] += share * value_of(values[i]);      \
        }                                                                                   \
    }

#define SAME(x) (x)
ATTEND(attend_floats, float, SAME)
ATTEND(attend_halves, uint16_t, widened)

void NS_NAME(attend)(const float *q, const void *keys, const void *values, int halves,
                     int64_t count, int64_t width, float scale, float cap, float *scores,
                     float *out) {
    if (halves) attend_halves(q, keys, values, count, width, scale, cap, scores, out);
    else attend_floats(q, keys, values, count, width, scale, cap, scores, out);
}

void NS_NAME(gate)(float *gate, const float *up, int64_t n, int activation) {
    if (activation == NS_SILU) {
        for (int64_t i = 0; i < n; i++) {
            gate[i] = gate[i] / (1.0f + exponential(-gate[i])) * up[i];
        }
    } else { /* tanh form of GELU: x times the logistic of 2 u */
        for (int64_t i = 0; i < n; i++) {
            float x = gate[i], u = 1.59576912f * (x + 0.044715f * x * x * x);
            gate[i] = x / (1.0f + exponential(-u)) * up[i];
        }
    }
}
