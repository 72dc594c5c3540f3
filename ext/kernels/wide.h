/* Floats of this level's registers as the compiler's own vectors: plain operators, no order is left
 * to it, so that all levels give the same bits. */
#ifndef NEUROSPARSE_WIDE_H
#define NEUROSPARSE_WIDE_H

#include "kernels.h"

#if NS_ISA >= 2
enum { WIDE = 16 };
#elif NS_ISA == 1
enum { WIDE = 8 };
#else
enum { WIDE = 4 };
#endif
typedef float wide __attribute__((vector_size(4 * WIDE)));

static inline wide wide_load(const float *p) {
    wide v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void wide_store(float *p, wide v) { memcpy(p, &v, sizeof v); }

#endif
