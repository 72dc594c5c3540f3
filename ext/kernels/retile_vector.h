/* Sixteen words at a time: a transposition of 32-bit lanes brings a register from sixteen columns
 * of one row to one column (or pair, or quad) of sixteen rows. What is set goes the same way, as
 * lanes of ones and zeros. Values are written a register at a time, over what comes later. */

INLINE void transpose_16(__m512i *v) {
    __m512i t[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        v[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        v[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        v[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        v[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int i = 0; i < 4; i++) {
        t[i] = _mm512_shuffle_i32x4(v[i], v[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_i32x4(v[i], v[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_i32x4(v[i + 8], v[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(v[i + 8], v[i + 12], 0xdd);
    }
    for (int i = 0; i < 4; i++) {
        v[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
        v[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
        v[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
        v[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
    }
}

/* Even halves, then odd ones. */
static const uint16_t apart[32] = {0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30,
                                   1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31};

/* Register q of 64 items of a row: the items, or all ones where a bit is set. */
INLINE __m512i ones_of(uint64_t bits, int q, const int item) {
    bits >>= q * (64 / item);
    return item == 1   ? _mm512_movm_epi8(bits)
           : item == 2 ? _mm512_movm_epi16((__mmask32)bits)
                       : _mm512_movm_epi32((__mmask16)bits);
}

INLINE int write_register(__m512i items, __m512i ones, const int item, uint64_t *mask,
                          uint8_t *to) {
    uint64_t bits = item == 1   ? _mm512_movepi8_mask(ones)
                    : item == 2 ? _mm512_movepi16_mask(ones)
                                : _mm512_movepi32_mask(ones);
    items = item == 1   ? _mm512_maskz_compress_epi8(bits, items)
            : item == 2 ? _mm512_maskz_compress_epi16((__mmask32)bits, items)
                        : _mm512_maskz_compress_epi32((__mmask16)bits, items);
    *mask = bits;
    int count = __builtin_popcountll(bits), bytes = item * count;
    uint64_t low = count ? ~(uint64_t)0 >> (64 - count) : 0;
    /* Never beyond what is this group's: another thread may be writing there. */
    if (item == 1) _mm512_mask_storeu_epi8(to, low, items);
    else if (item == 2) _mm512_mask_storeu_epi16(to, (__mmask32)low, items);
    else _mm512_mask_storeu_epi32(to, (__mmask16)low, items);
    return bytes;
}

/* A block of 64 columns is `item` registers a row; words are 16 items by 4 columns, so a word needs
 * 4 / lane registers, all of them after one transposition of one register of every row. With fp16
 * a lane is one column in half a register: halves of a pair of columns are put together again. */
INLINE void write_kind(const block *from, const int item, const int lane, uint64_t *masks,
                       int words, uint8_t **to) {
    for (int q = 0; q < item; q++) {
        __m512i items[16], ones[16];
        for (int r = 0; r < 16; r++) {
            items[r] = _mm512_load_si512(from->items[r] + 64 * q);
            ones[r] = ones_of(from->bits[r], q, item);
        }
        transpose_16(items);
        transpose_16(ones);
        for (int c = 0; c < 16; c++) { /* register c: items of columns q * 64/item + c * 4/item.. */
            int column = q * (64 / item) + c * (4 / item), word = column / 4;
            int shift = column % 4 * 16;
            if (word >= words) return;
            uint64_t bits;
            __m512i v = items[c], o = ones[c];
            if (item == 2 && lane == 1) { /* two columns: first all of the one, then of the other */
                const __m512i order = _mm512_loadu_si512(apart);
                v = _mm512_permutexvar_epi16(order, v);
                o = _mm512_permutexvar_epi16(order, o);
            }
            *to += write_register(v, o, item, &bits, *to);
            masks[word] = shift ? masks[word] | bits << shift : bits;
        }
    }
}

static void write_block(const block *from, int item, int lane, uint64_t *masks, int words,
                        uint8_t **to) {
    if (item == 1) write_kind(from, 1, 4, masks, words, to);
    else if (item == 4) write_kind(from, 4, 1, masks, words, to);
    else if (lane == 2) write_kind(from, 2, 2, masks, words, to);
    else write_kind(from, 2, 1, masks, words, to);
}
