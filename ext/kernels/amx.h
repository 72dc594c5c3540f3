/* The matrix unit: eight registers of up to sixteen rows of 64 bytes.
 *
 * An expanded register of tile order is one row of a right factor (16 rows of the matrix in its lanes,
 * a pair or a quad of columns in each), and x as tiles_parts.h prepares it is the left factor. */
#ifndef NEUROSPARSE_AMX_H
#define NEUROSPARSE_AMX_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

enum { UNIT_ROWS = 16, UNIT_BYTES = 64 };

typedef struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} __attribute__((aligned(64))) unit_shapes;

static inline void set_shape(unit_shapes *c, int tile, int rows, int bytes) {
    c->rows[tile] = (uint8_t)rows;
    c->row_bytes[tile] = (uint16_t)bytes;
}

/* Other libraries remember the shapes that they gave a thread's registers: whoever takes the unit puts
 * back what it found. New shapes clear the registers. */
static inline void unit_found(unit_shapes *before) {
    __asm__ volatile("sttilecfg %0" : "=m"(*before));
}

static inline void unit_shape(const unit_shapes *shapes) {
    __asm__ volatile("ldtilecfg %0" ::"m"(*shapes));
}

/* The compiler's own forms do not say that they read memory. */
#define UNIT_LOAD(tile, from, stride)                                                       \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #tile                                     \
                     ::"r"((const void *)(from)), "r"((int64_t)(stride)) : "memory")
#define UNIT_STORE(tile, to, stride)                                                        \
    __asm__ volatile("tilestored %%tmm" #tile ", (%0,%1,1)"                                 \
                     ::"r"((void *)(to)), "r"((int64_t)(stride)) : "memory")
#define UNIT_ZERO(tile) __asm__ volatile("tilezero %%tmm" #tile ::)
/* sum += left right: pairs of bf16; unsigned left and signed right bytes. */
#define UNIT_PAIRS(sum, left, right)                                                        \
    __asm__ volatile("tdpbf16ps %%tmm" #right ", %%tmm" #left ", %%tmm" #sum ::)
#define UNIT_QUADS(sum, left, right)                                                        \
    __asm__ volatile("tdpbusd %%tmm" #right ", %%tmm" #left ", %%tmm" #sum ::)

#endif
