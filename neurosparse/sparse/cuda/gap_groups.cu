// What the kernels over gaps share (neurosparse/sparse/gaps.py says the layout): the eight values and
// the eight columns of a group, by the lane that has it.
//
// Set when compiled: VALUES 0 bf16, 1 fp16, 2 int8; X, which is the type of the other operand and of
// the result, 0 bf16, 1 fp16, 2 fp32.

#if VALUES == 2
#define WORDS 2
#else
#define WORDS 4
#endif

// A group: eight values and their gaps, asked for before they are needed.
struct Group {
  u32 words[WORDS], gap[1];

  __device__ __forceinline__ void ask(const u32* values, const u32* gaps, long long group,
                                      bool there) {
#pragma unroll
    for (int i = 0; i < WORDS; i++) words[i] = 0;
    gap[0] = 0;
    if (there) {
      once(words, values + WORDS * group);
      once(gap, gaps + group);
    }
  }
};

__device__ __forceinline__ float value(const u32 (&v)[WORDS], int k) {
#if VALUES == 0
  u32 bits = v[k >> 1];
  return __uint_as_float(k & 1 ? bits & 0xffff0000u : bits << 16);
#elif VALUES == 1
  u32 bits = v[k >> 1];
  return of_half(k & 1 ? bits >> 16 : bits & 0xffffu);
#else
  // 2^23 + b as a float is the byte b under the exponent; b is the value and 128.
  u32 bits = __byte_perm(v[k >> 2] ^ 0x80808080u, 0x4b000000u, 0x7440 | (k & 3));
  return __uint_as_float(bits) - 8388736.0f;
#endif
}

// Columns of a lane's eight entries from where it begins: entry 2 i is byte i of the even ones.
struct Columns {
  u32 even, odd, moved;

  __device__ __forceinline__ void of(u32 gap, bool mine) {
    u32 low = gap & 0x0f0f0f0fu, pairs = low + ((gap >> 4) & 0x0f0f0f0fu);
    u32 sums = pairs * 0x01010101u;
    even = sums - pairs + low + 0x06040200u, odd = sums + 0x07050301u;
    moved = mine ? (sums >> 24) + 8 : 0;
  }
};

// Sums over the lanes before and with this one.
__device__ __forceinline__ u32 with_lanes_before(u32 own, int lane) {
#pragma unroll
  for (int step = 1; step < 32; step <<= 1) {
    u32 other = __shfl_up_sync(~0u, own, step);
    own += lane >= step ? other : 0;
  }
  return own;
}

__device__ __forceinline__ void store(void* out, long long at, float found) {
#if X == 2
  ((float*)out)[at] = found;
#elif X == 1
  ((u16*)out)[at] = to_half(found);
#else
  ((u16*)out)[at] = to_bfloat(found);
#endif
}
