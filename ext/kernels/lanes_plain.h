/* Plain C: walk over the set bits. */

#define EXPAND(type, name)                                                              \
    INLINE void name(const uint8_t *p, uint64_t word, uint8_t *out) {                   \
        memset(out, 0, 64 * sizeof(type));                                              \
        for (; word; word &= word - 1, p += sizeof(type)) {                             \
            memcpy(out + sizeof(type) * __builtin_ctzll(word), p, sizeof(type));        \
        }                                                                               \
    }

EXPAND(uint8_t, expand_8)
EXPAND(uint16_t, expand_16)
EXPAND(uint32_t, expand_32)

INLINE float float_of_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

INLINE float one_fp32(const uint8_t *p) {
    float value;
    memcpy(&value, p, 4);
    return value;
}

INLINE float one_bf16(const uint8_t *p) {
    uint16_t half;
    memcpy(&half, p, 2);
    return float_of_bits((uint32_t)half << 16);
}

INLINE float one_fp16(const uint8_t *p) {
    uint16_t half;
    memcpy(&half, p, 2);
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, rest = half & 1023;
    if (exponent == 0) return sign ? -(float)rest * 0x1p-24f : (float)rest * 0x1p-24f;
    exponent = exponent == 31 ? 255 : exponent + 112;
    return float_of_bits(sign | exponent << 23 | rest << 13);
}

INLINE float one_int8(const uint8_t *p) { return (float)(int8_t)*p; }
