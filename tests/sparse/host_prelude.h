// CUDA's words for a host compiler: every lane a thread, for tests without a card.
//
// The same functions as neurosparse/sparse/cuda/prelude.cu, and the built-in ones that the kernels use. A
// block is as many threads as it has lanes, which wait for one another at a barrier; shuffles go
// through an array of the warp. Slow, and exact about what the kernel says.

#include <algorithm>
#include <barrier>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#define __device__
#define __global__
#define __forceinline__ inline
#define __restrict__
#define __launch_bounds__(...)
#define __shared__
#define __align__(n)

typedef unsigned int u32;
typedef unsigned short u16;
using std::min;

struct Place {
  unsigned x;
};
static thread_local Place threadIdx, blockIdx;
static Place blockDim, gridDim;
static thread_local struct Warp *own_warp;
static std::barrier<> *whole_block;
char held[1 << 20];

struct Warp {
  std::barrier<> meet{32};
  u32 words[32];
};

static u32 from_lane(u32 word, int lane, int from) {
  own_warp->words[lane] = word;
  own_warp->meet.arrive_and_wait();
  u32 found = own_warp->words[from];
  own_warp->meet.arrive_and_wait();
  return found;
}

template <typename T>
T shuffled(T value, int from) {
  u32 word;
  std::memcpy(&word, &value, 4);
  word = from_lane(word, threadIdx.x & 31, from);
  std::memcpy(&value, &word, 4);
  return value;
}

template <typename T>
T __shfl_up_sync(u32, T value, int by) {
  int lane = threadIdx.x & 31;
  return shuffled(value, lane >= by ? lane - by : lane);
}
template <typename T>
T __shfl_xor_sync(u32, T value, int by) {
  return shuffled(value, (threadIdx.x & 31) ^ by);
}
template <typename T>
T __shfl_sync(u32, T value, int from) {
  return shuffled(value, from);
}
static void __syncwarp() { own_warp->meet.arrive_and_wait(); }
static void __syncthreads() { whole_block->arrive_and_wait(); }

static float __uint_as_float(u32 bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}
static u32 __float_as_uint(float value) {
  u32 bits;
  std::memcpy(&bits, &value, 4);
  return bits;
}
static u32 __byte_perm(u32 low, u32 high, u32 select) {
  uint64_t both = ((uint64_t)high << 32) | low;
  u32 found = 0;
  for (int i = 0; i < 4; i++) found |= (u32)((both >> 8 * (select >> 4 * i & 7)) & 255) << 8 * i;
  return found;
}
static u32 __dp4a(u32 left, u32 right, u32 sum) {
  for (int i = 0; i < 4; i++) sum += (left >> 8 * i & 255) * (right >> 8 * i & 255);
  return sum;
}
static u32 __dp2a_lo(u32 left, u32 right, u32 sum) {
  return sum + (left & 0xffff) * (right & 255) + (left >> 16) * (right >> 8 & 255);
}
static u32 __dp2a_hi(u32 left, u32 right, u32 sum) { return __dp2a_lo(left, right >> 16, sum); }

static float of_half(u32 bits) {
  u16 half = bits;
  _Float16 value;
  std::memcpy(&value, &half, 2);
  return (float)value;
}
static u16 to_half(float value) {
  _Float16 half = (_Float16)value;
  u16 bits;
  std::memcpy(&bits, &half, 2);
  return bits;
}
static u16 to_bfloat(float value) {
  u32 bits = __float_as_uint(value);
  return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

template <int N>
void from_shared(u32 (&into)[N], const char *at) {
  std::memcpy(into, at, 4 * N);
}
template <int N>
void into_shared(const u32 (&from)[N], char *at) {
  std::memcpy(at, from, 4 * N);
}
static void fresh(u32 (&into)[4], const void *at) { std::memcpy(into, at, 16); }
static void stored(const u32 (&from)[4], void *at) { std::memcpy(at, from, 16); }
static u32 fresh_word(const u32 *at) { return *at; }
static u32 fresh_half(const u16 *at) { return *at; }
static void let_next_begin() {}
static void wait_for_previous() {}
template <int N>
void once(u32 (&into)[N], const u32 *at) {
  std::memcpy(into, at, 4 * N);
}

// All blocks of a kernel, one after the other.
template <typename Call>
void on_host(unsigned blocks, unsigned threads, Call call) {
  gridDim.x = blocks, blockDim.x = threads;
  for (unsigned block = 0; block < blocks; block++) {
    std::memset(held, 0xff, sizeof held);
    std::barrier<> all(threads);
    whole_block = &all;
    std::unique_ptr<Warp[]> warps(new Warp[threads / 32]);
    std::vector<std::thread> lanes;
    for (unsigned i = 0; i < threads; i++)
      lanes.emplace_back([=, &warps] {
        threadIdx.x = i, blockIdx.x = block, own_warp = &warps[i / 32];
        call();
      });
    for (auto &lane : lanes) lane.join();
  }
}
