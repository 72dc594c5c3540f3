/* The vocabulary of one instruction level. Each header below gives
 *   expand_8, expand_16, expand_32   64 items of a word, zero where its bit is clear
 * and the vector levels also
 *   vec, LANES, vec_zero, vec_load, vec_store, vec_scale, vec_fma
 *   vec_repeatN(p)       N floats, as often as the register has lanes
 *   lanes_KIND(p, bits)  LANES weights as floats in their order, zero where a bit is clear
 * A kind's size in bytes is SIZE_KIND. All is static inline: nothing here may reach the linker
 * under a shared name, or a lower level could end up with a higher one's instructions. */
#ifndef NEUROSPARSE_LANES_H
#define NEUROSPARSE_LANES_H

#include "kernels.h"

#define INLINE static inline __attribute__((always_inline))

enum { SIZE_fp32 = 4, SIZE_bf16 = 2, SIZE_fp16 = 2, SIZE_int8 = 1 };

/* Bytes that the bits below position `bit` of a word take. */
INLINE int64_t bytes_below(uint64_t word, int bit, int size) {
    return bit == 0 ? 0 : (int64_t)size * __builtin_popcountll(word << (64 - bit));
}

#if NS_ISA == 0
#include "lanes_plain.h"
#elif NS_ISA == 1
#include "lanes_avx2.h"
#else
#include "lanes_avx512.h"
#endif

#endif
