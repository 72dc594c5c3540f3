// What the kernels of this folder say in PTX; compiled before each. Tests put their own words for a
// host compiler in its place (tests/sparse/host_prelude.h).

typedef unsigned int u32;
typedef unsigned short u16;

__device__ __forceinline__ float of_half(u32 bits) {  // the lower 16 bits as fp16
  float found;
  asm("{.reg .b16 h; cvt.u16.u32 h, %1; cvt.f32.f16 %0, h;}" : "=f"(found) : "r"(bits));
  return found;
}

__device__ __forceinline__ u16 to_half(float value) {
  u16 bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  return bits;
}

__device__ __forceinline__ u16 to_bfloat(float value) {
  u16 bits;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  return bits;
}

// N words in shared memory, aligned to as many up to four.
template <int N>
__device__ __forceinline__ void from_shared(u32 (&into)[N], const char* at) {
  if constexpr (N == 1) {
    into[0] = *(const u32*)at;
  } else if constexpr (N == 2) {
    uint2 found = *(const uint2*)at;
    into[0] = found.x, into[1] = found.y;
  } else {
#pragma unroll
    for (int i = 0; i < N; i += 4) {
      uint4 found = ((const uint4*)at)[i / 4];
      into[i] = found.x, into[i + 1] = found.y, into[i + 2] = found.z, into[i + 3] = found.w;
    }
  }
}

template <int N>
__device__ __forceinline__ void into_shared(const u32 (&from)[N], char* at) {
  if constexpr (N == 1) {
    *(u32*)at = from[0];
  } else if constexpr (N == 2) {
    *(uint2*)at = make_uint2(from[0], from[1]);
  } else {
#pragma unroll
    for (int i = 0; i < N; i += 4)
      ((uint4*)at)[i / 4] = make_uint4(from[i], from[i + 1], from[i + 2], from[i + 3]);
  }
}

// What another kernel may just have written: from the second cache, which all share.
__device__ __forceinline__ void fresh(u32 (&into)[4], const void* at) {
  asm volatile("ld.global.cg.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(into[0]), "=r"(into[1]), "=r"(into[2]), "=r"(into[3])
               : "l"(at));
}

__device__ __forceinline__ u32 fresh_word(const u32* at) {
  u32 found;
  asm volatile("ld.global.cg.u32 %0, [%1];" : "=r"(found) : "l"(at));
  return found;
}

__device__ __forceinline__ u32 fresh_half(const u16* at) {
  u16 found;
  asm volatile("ld.global.cg.u16 %0, [%1];" : "=h"(found) : "l"(at));
  return found;
}

// Sixteen bytes to where they are asked for soon.
__device__ __forceinline__ void stored(const u32 (&from)[4], void* at) {
  *(uint4*)at = make_uint4(from[0], from[1], from[2], from[3]);
}

// A kernel that is launched to overlap with the one before it may read what no kernel writes until
// it waits; without such a launch, and before Hopper, both say nothing.
__device__ __forceinline__ void let_next_begin() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}

__device__ __forceinline__ void wait_for_previous() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// Words that are read once, past the first cache.
template <int N>
__device__ __forceinline__ void once(u32 (&into)[N], const u32* at) {
  if constexpr (N == 1) {
    asm volatile("ld.global.nc.L1::no_allocate.u32 %0, [%1];" : "=r"(into[0]) : "l"(at));
  } else if constexpr (N == 2) {
    asm volatile("ld.global.nc.L1::no_allocate.v2.u32 {%0, %1}, [%2];"
        : "=r"(into[0]), "=r"(into[1]) : "l"(at));
  } else {
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
        : "=r"(into[0]), "=r"(into[1]), "=r"(into[2]), "=r"(into[3]) : "l"(at));
  }
}
