// Rows of gaps and values as dense rows, for the matrix product of many rows of x.
//
// A warp has a row, and of it a window in shared memory that begins as zeros. Entries are scattered
// into it, a group a lane, and whole cache lines leave it. A chunk of 32 groups that reaches beyond
// the window is kept for the next one.
//
// Set when compiled, beside what gap_groups.cu says: WARPS a block, PER_SM blocks of them;
// BYTES of a row in a window. Values of the type of the result come without scales.

#if X == 2
typedef u32 Entry;
#else
typedef u16 Entry;
#endif
#define WINDOW (BYTES / (int)sizeof(Entry))

// Entry k of a group to its column; as it is, where nothing has to be computed.
__device__ __forceinline__ void put(char* window, u32 column, const u32 (&words)[WORDS], int k,
                                    float scale) {
  if (column >= WINDOW) return;
#if VALUES == X && VALUES < 2
  ((u16*)window)[column] = (u16)(words[k >> 1] >> 16 * (k & 1));
#else
  store(window, column, scale * value(words, k));
#endif
}

// Columns from, to ... of the window, to the row.
__device__ __forceinline__ void leave(char* row, const char* window, int columns, bool aligned,
                                      int lane) {
  if (aligned) {
    for (int i = lane; i < columns * (int)sizeof(Entry) / 16; i += 32) {
      u32 part[4];
      from_shared(part, window + 16 * i);
      stored(part, row + 16 * i);
    }
  } else {
    for (int i = lane; i < columns; i += 32) ((Entry*)row)[i] = ((const Entry*)window)[i];
  }
}

extern "C" __global__ void __launch_bounds__(32 * WARPS, PER_SM)
gap_expand(void* out, const u32* values, const u32* gaps, const int* offsets, const float* scales,
           int rows, int cols, int aligned) {
  extern __shared__ __align__(16) char held[];
  let_next_begin();
  int lane = threadIdx.x & 31;
  char* window = held + BYTES * (threadIdx.x >> 5);
  for (long long row = (long long)blockIdx.x * WARPS + (threadIdx.x >> 5); row < rows;
       row += (long long)gridDim.x * WARPS) {
    float scale = scales ? scales[row] : 1.0f;
    int begin = offsets[row], end = offsets[row + 1];
    Group now, next;
    next.ask(values, gaps, begin + lane, begin + lane < end);
    bool kept = false, mine = false;
    u32 at = 0, column = 0, ends = 0;
    Columns columns;
    for (int from = 0; from < cols; from += WINDOW) {
      const u32 zeros[4] = {0, 0, 0, 0};
#pragma unroll
      for (int i = 0; i < BYTES / 512; i++) into_shared(zeros, window + 512 * i + 16 * lane);
      __syncwarp();
      while (kept || begin < end) {
        if (!kept) {
          now = next, mine = begin + lane < end;
          begin += 32;
          next.ask(values, gaps, begin + lane, begin + lane < end);
          columns.of(now.gap[0], mine);
          u32 until = with_lanes_before(columns.moved, lane);
          at = column + until - columns.moved;
          ends = column + __shfl_sync(~0u, until, 31);
        }
        if (mine) {
#pragma unroll
          for (int k = 0; k < 4; k++) {
            put(window, __dp4a(columns.even, 1u << (8 * k), at - from), now.words, 2 * k, scale);
            put(window, __dp4a(columns.odd, 1u << (8 * k), at - from), now.words, 2 * k + 1, scale);
          }
        }
        kept = ends > (u32)(from + WINDOW);
        if (kept) break;
        column = ends;
      }
      __syncwarp();
      wait_for_previous();  // which may still read what was where the rows go
      leave((char*)out + (row * cols + from) * sizeof(Entry), window, min(WINDOW, cols - from),
            aligned, lane);
      __syncwarp();
    }
  }
}
