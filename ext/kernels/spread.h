/* spread[bits][lane]: which of the packed items belongs into a lane of eight; -128 where none does. */
#ifndef NEUROSPARSE_SPREAD_H
#define NEUROSPARSE_SPREAD_H

#define COUNT2(b) (((b) & 1) + ((b) >> 1 & 1))
#define COUNT4(b) (COUNT2(b) + COUNT2((b) >> 2))
#define COUNT8(b) (COUNT4(b) + COUNT4((b) >> 4))
#define LANE(b, j) ((b) >> (j) & 1 ? COUNT8((b) & ((1 << (j)) - 1)) : -128)
#define ROW1(b) {LANE(b, 0), LANE(b, 1), LANE(b, 2), LANE(b, 3), \
                 LANE(b, 4), LANE(b, 5), LANE(b, 6), LANE(b, 7)}
#define ROW4(b) ROW1(b), ROW1((b) + 1), ROW1((b) + 2), ROW1((b) + 3)
#define ROW16(b) ROW4(b), ROW4((b) + 4), ROW4((b) + 8), ROW4((b) + 12)
#define ROW64(b) ROW16(b), ROW16((b) + 16), ROW16((b) + 32), ROW16((b) + 48)
static const int8_t spread[256][8] = {ROW64(0), ROW64(64), ROW64(128), ROW64(192)};

#endif
