// Rows of gaps and values times 1, 2, 4 or 8 vectors.
//
// A warp has a row, a lane eight entries of it: one 16-byte load of bf16 values and one 4-byte load
// of gaps. Columns are prefix sums: of the eight gaps by two multiplications of bytes, over lanes by
// shuffles. x lies in shared memory, a column after the other, so that an entry is one load from
// there and a multiply-add a vector: the work goes with what is kept, not with what was.
//
// Set when compiled, beside what gap_groups.cu says: COUNT vectors; THREADS a block, PER_SM blocks of
// them; CHUNKS of 32 groups a step, 1 or 2, and DEPTH steps asked for ahead; LOG_SPAN, and LOG_STRIDE
// or nothing.

#define SPAN (1 << LOG_SPAN)

#define LOG_COUNT (COUNT == 8 ? 3 : COUNT == 4 ? 2 : COUNT == 2 ? 1 : 0)
#define LOG_XBYTES (LOG_COUNT + (COUNT == 1 || X == 2 ? 2 : 1))
#define XBYTES (1 << LOG_XBYTES)

__device__ __forceinline__ float of_x(u32 bits) {  // the lower 16 bits
#if X == 1
  return of_half(bits & 0xffffu);
#else
  return __uint_as_float(bits << 16);
#endif
}

__device__ __forceinline__ float upper_x(u32 bits) {
#if X == 1
  return of_half(bits >> 16);
#else
  return __uint_as_float(bits & 0xffff0000u);
#endif
}

// Where entry k's column of x lies, in bytes, from prefix sums of a lane's gaps (a byte each, here
// those of the even or of the odd entries) and where the lane begins. Where the stride is a power of
// two, one instruction gives the column times it, and what a span before it is too much follows.
#ifdef LOG_STRIDE
#define LOG_SCALE (LOG_STRIDE + LOG_XBYTES)
#else
#define LOG_SCALE 0
#endif

__device__ __forceinline__ u32 place(int k, u32 sums, u32 begin, u32 stride) {
#ifdef LOG_STRIDE
  constexpr u32 once = 1u << LOG_SCALE;
  u32 factor = k & 1 ? once << 16 : once;
  u32 scaled = k < 2 ? __dp2a_lo(factor, sums, begin) : __dp2a_hi(factor, sums, begin);
  return scaled - (scaled >> (LOG_SPAN + LOG_SCALE)) * (SPAN * once - XBYTES);
#else
  u32 column = __dp4a(sums, 1u << (8 * k), begin);
  return (column & (SPAN - 1)) * stride + (column >> LOG_SPAN) * XBYTES;
#endif
}

// Adds the entry's products with every vector.
__device__ __forceinline__ void add(float (&sum)[COUNT], const char* held, float w) {
  u32 part[XBYTES / 4];
  from_shared(part, held);
#pragma unroll
  for (int n = 0; n < COUNT; n++) {
#if COUNT == 1 || X == 2
    float x = __uint_as_float(part[n]);
#else
    float x = n & 1 ? upper_x(part[n >> 1]) : of_x(part[n >> 1]);
#endif
    sum[n] = fmaf(x, w, sum[n]);
  }
}

// Sums over lanes; afterwards lane (32 / COUNT) n holds vector n's.
__device__ __forceinline__ float over_lanes(float (&sum)[COUNT], int lane) {
  int step = 16;
#pragma unroll
  for (int left = COUNT; left > 1; left >>= 1, step >>= 1) {
    bool upper = lane & step;
#pragma unroll
    for (int n = 0; n < left / 2; n++) {
      float mine = upper ? sum[n + left / 2] : sum[n];
      float other = upper ? sum[n] : sum[n + left / 2];
      sum[n] = mine + __shfl_xor_sync(~0u, other, step);
    }
  }
#pragma unroll
  for (; step; step >>= 1) sum[0] += __shfl_xor_sync(~0u, sum[0], step);
  return sum[0];
}

// Where a warp is in its rows: one or two chunks of 32 groups at a time.
struct Cursor {
  const int* offsets;
  int row, last, begin, end, after;  // after: where the row after this one ends, known ahead

  __device__ __forceinline__ void start(const int* all, int first, int until) {
    offsets = all, row = first, last = until, begin = all[first];
    end = all[first + 1], after = all[min(first + 2, until)];
  }
};

struct Step {
  Group groups[CHUNKS];
  int left;  // groups of the row from the lane's first on

  __device__ __forceinline__ void load(Cursor& at, const u32* values, const u32* gaps, int lane) {
    left = at.end - at.begin - lane;
#pragma unroll
    for (int i = 0; i < CHUNKS; i++)
      groups[i].ask(values, gaps, at.begin + 32 * i + lane, left > 32 * i);
    at.begin += 32 * CHUNKS;
    if (at.begin >= at.end) {
      at.row++;
      at.begin = at.end, at.end = at.after;
      at.after = at.offsets[min(at.row + 2, at.last)];
    }
  }
};

__device__ __forceinline__ void eight(float (&sum)[COUNT], const char* held, u32 stride,
                                      const u32 (&words)[WORDS], const Columns& columns, u32 at) {
  u32 begin = at << LOG_SCALE;
#pragma unroll
  for (int k = 0; k < 4; k++) {
    add(sum, held + place(k, columns.even, begin, stride), value(words, 2 * k));
    add(sum, held + place(k, columns.odd, begin, stride), value(words, 2 * k + 1));
  }
}

// Lanes without a group have zeros, and columns that are there or one of the first.
__device__ __forceinline__ void multiply(const Step& now, float (&sum)[COUNT], u32& column,
                                         const char* held, u32 stride, int lane) {
  Columns columns[CHUNKS];
  u32 own = 0;
#pragma unroll
  for (int i = 0; i < CHUNKS; i++) {
    columns[i].of(now.groups[i].gap[0], now.left > 32 * i);
    own |= columns[i].moved << 16 * i;  // all in one scan: a chunk moves on by 4096 at most
  }
  u32 until = with_lanes_before(own, lane), before = until - own;
  u32 all = __shfl_sync(~0u, until, 31);
#pragma unroll
  for (int i = 0; i < CHUNKS; i++) {
    if (i == 0 || now.left + lane > 32 * i)
      eight(sum, held, stride, now.groups[i].words, columns[i],
            column + (before >> 16 * i & 0xffffu));
    column += all >> 16 * i & 0xffffu;
  }
}

// Vectors side by side, column c at (c % SPAN) * stride + c / SPAN: lanes, which are about SPAN
// columns apart, then mostly ask different banks.
__device__ __forceinline__ void load_x(char* held, const void* x, int count, int cols, u32 stride,
                                       bool aligned) {
  constexpr int EACH = X == 2 ? 4 : 8;
  for (u32 i = threadIdx.x; i < stride / XBYTES * (SPAN / EACH); i += THREADS) {
    u32 span = i % (stride / XBYTES), within = i / (stride / XBYTES) * EACH;
    int column = span * SPAN + within;
    u32 raw[COUNT][4];
#pragma unroll
    for (int n = 0; n < COUNT; n++) {
#pragma unroll
      for (int j = 0; j < 4; j++) raw[n][j] = 0;
      long long at = (long long)n * cols + column;
      if (n < count && column < cols) {
        if (aligned) {
          fresh(raw[n], (const char*)x + at * (16 / EACH));
        } else {
#pragma unroll
          for (int j = 0; j < EACH; j++) {
            if (column + j >= cols) break;
#if X == 2
            raw[n][j] = fresh_word((const u32*)x + at + j);
#else
            raw[n][j >> 1] |= fresh_half((const u16*)x + at + j) << 16 * (j & 1);
#endif
          }
        }
      }
    }
#pragma unroll
    for (int j = 0; j < EACH; j++) {
      u32 part[XBYTES / 4];
#if X == 2
#pragma unroll
      for (int n = 0; n < COUNT; n++) part[n] = raw[n][j];
#elif COUNT == 1
      part[0] = __float_as_uint(j & 1 ? upper_x(raw[0][j >> 1]) : of_x(raw[0][j >> 1]));
#else
#pragma unroll
      for (int n = 0; n < COUNT; n += 2)
        part[n >> 1] = __byte_perm(raw[n][j >> 1], raw[n + 1][j >> 1], j & 1 ? 0x7632 : 0x5410);
#endif
      into_shared(part, held + (within + j) * stride + span * XBYTES);
    }
  }
}

extern "C" __global__ void __launch_bounds__(THREADS, PER_SM)
gap_matvec(void* out, const void* x, const u32* __restrict__ values,
           const u32* __restrict__ gaps, const int* __restrict__ offsets,
           const float* __restrict__ scales, int rows, int cols, int count, u32 stride,
           int aligned) {
  extern __shared__ __align__(16) char held[];
  let_next_begin();
  int lane = threadIdx.x & 31;
  long long warp = (long long)blockIdx.x * (THREADS / 32) + (threadIdx.x >> 5);
  long long warps = (long long)gridDim.x * (THREADS / 32);
  int row = warp * rows / warps, last = (warp + 1) * rows / warps;
  Cursor at;
  Step ring[DEPTH];
  if (row < last) {
    at.start(offsets, row, last);
#pragma unroll
    for (int i = 0; i < DEPTH; i++) ring[i].load(at, values, gaps, lane);
  }
  wait_for_previous();  // x is what it writes
  load_x(held, x, count, cols, stride, aligned);
  __syncthreads();
  u32 column = 0;
  float sum[COUNT] = {};
  while (row < last) {
#pragma unroll
    for (int i = 0; i < DEPTH; i++) {
      Step now = ring[i];
      ring[i].load(at, values, gaps, lane);
      multiply(now, sum, column, held, stride, lane);
      if (now.left + lane > 32 * CHUNKS) continue;
      float found = over_lanes(sum, lane);
      int n = lane / (32 / COUNT);
      if (lane % (32 / COUNT) == 0 && n < count) {
        if (scales) found *= scales[row];
        store(out, (long long)n * rows + row, found);
      }
#pragma unroll
      for (int j = 0; j < COUNT; j++) sum[j] = 0.0f;
      column = 0;
      if (++row >= last) return;
    }
  }
}
