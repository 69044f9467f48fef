// Codes of a packed weight to the registers that mma.m16n8k16 wants, and the scales of its groups. Layout: packed_linear.h.
#pragma once
#include <cuda_fp16.h>

#include "teeny/kernels/launch.cuh"
#include "teeny/kernels/packed_linear.h"

namespace teeny::cuda {

__device__ __forceinline__ uint32_t bits_and_or(uint32_t a, uint32_t mask, uint32_t b) { return (a & mask) | b; }

// Bit From comes to lie at bit To.
template <int From, int To>
__device__ __forceinline__ uint32_t moved(uint32_t word) {
  if constexpr (From >= To) return word >> (From - To);
  else return word << (To - From);
}

// A half tile's codes of one lane: fragment i (0..3) of step s (0..3) as two f16 subnormals.
template <int Bits>
struct Half64 {
  static constexpr int kBytes = Bits * 128;
  static constexpr int kSecond = Bits == 4 || Bits == 6 ? 16 : 1;  // fragment(): rows 8 and up come so many times too large
  uint4 four;      // plane of 4 bits (or 2 + 1 below)
  uint2 two;
  uint32_t one;
  __device__ __forceinline__ void load(const uint8_t* shared, int lane) {
    const uint8_t* at = shared;
    if constexpr (Bits == 4 || Bits == 5 || Bits == 6) {
      four = *reinterpret_cast<const uint4*>(at + lane * 16);
      at += 512;
    }
    if constexpr (Bits == 2 || Bits == 3 || Bits == 6) {
      two = *reinterpret_cast<const uint2*>(at + lane * 8);
      at += 256;
    }
    if constexpr (Bits == 3 || Bits == 5) one = *reinterpret_cast<const uint32_t*>(at + lane * 4);
  }
  template <int S, int I>
  __device__ __forceinline__ uint32_t get() const { return placed<S, I, 0>(); }
  // As fragment(), with codes as high in a f16's mantissa as two shifts a step bring them: 2^kRaised times as large, rows 8 and up
  // kRaisedSecond times that.
  static constexpr int kRaised = raised_by(Bits), kRaisedSecond = kSecond;
  template <int S, int I>
  __device__ __forceinline__ uint32_t raised() const {
    if constexpr (Bits == 4) {
      const uint32_t word = S == 0 ? four.x : S == 1 ? four.y : S == 2 ? four.z : four.w, w4 = I < 2 ? word << 2 : word >> 6;
      return w4 & (I % 2 == 0 ? 0x003c003cu : 0x03c003c0u);
    } else if constexpr (Bits == 6) {
      return fragment<S, I>();
    } else {
      return placed<S, I, kRaised>();
    }
  }
  // The same as get() times 2^At.
  template <int S, int I, int At>
  __device__ __forceinline__ uint32_t placed() const {
    constexpr int kTwo = 2 * (4 * (S & 1) + I), kOne = 4 * S + I;
    const uint32_t w4 = S == 0 ? four.x : S == 1 ? four.y : S == 2 ? four.z : four.w;
    const uint32_t w2 = S < 2 ? two.x : two.y;
    if constexpr (Bits == 4) return moved<4 * I, At>(w4) & (0x000f000fu << At);
    if constexpr (Bits == 2) return moved<kTwo, At>(w2) & (0x00030003u << At);
    if constexpr (Bits == 3) return bits_and_or(moved<kTwo, At>(w2), 0x00030003u << At, moved<kOne, At + 2>(one) & (0x00010001u << (At + 2)));
    if constexpr (Bits == 5) return bits_and_or(moved<4 * I, At>(w4), 0x000f000fu << At, moved<kOne, At + 4>(one) & (0x00010001u << (At + 4)));
    if constexpr (Bits == 6) return bits_and_or(moved<4 * I, At>(w4), 0x000f000fu << At, moved<kTwo, At + 4>(w2) & (0x00030003u << (At + 4)));
    return 0;
  }
  // The same with fewer shifts: codes of rows 8 and up stay where they lie, kSecond times as large.
  template <int S, int I>
  __device__ __forceinline__ uint32_t fragment() const {
    if constexpr (Bits == 4 || Bits == 6) {
      const uint32_t word = S == 0 ? four.x : S == 1 ? four.y : S == 2 ? four.z : four.w, w4 = I < 2 ? word : word >> 8;
      constexpr uint32_t mask4 = I % 2 == 0 ? 0x000f000fu : 0x00f000f0u;
      if constexpr (Bits == 4) return w4 & mask4;
      const uint32_t w2 = S < 2 ? two.x : two.y;
      constexpr int from = 2 * (4 * (S & 1) + I), to = I % 2 == 0 ? 4 : 8;
      const uint32_t high = from > to ? w2 >> (from > to ? from - to : 0) : w2 << (from > to ? 0 : to - from);
      return bits_and_or(w4, mask4, high & (0x00030003u << to));
    } else {
      return get<S, I>();
    }
  }
};

template <>
struct Half64<8> {
  static constexpr int kBytes = 1024, kSecond = 1;
  uint4 low, high;  // steps 0 and 1, steps 2 and 3
  __device__ __forceinline__ void load(const uint8_t* shared, int lane) {
    low = *reinterpret_cast<const uint4*>(shared + lane * 16);
    high = *reinterpret_cast<const uint4*>(shared + 512 + lane * 16);
  }
  template <int S, int I>
  __device__ __forceinline__ uint32_t get() const {
    const uint4& w = S < 2 ? low : high;
    const uint32_t word = (S & 1) == 0 ? (I < 2 ? w.x : w.y) : (I < 2 ? w.z : w.w);
    return __byte_perm(word, 0, (I & 1) == 0 ? 0x4140 : 0x4342);
  }
  static constexpr int kRaised = raised_by(8), kRaisedSecond = 1;
  template <int S, int I>
  __device__ __forceinline__ uint32_t raised() const { return get<S, I>() << kRaised; }
  template <int S, int I>
  __device__ __forceinline__ uint32_t fragment() const { return get<S, I>(); }
};

template <>
struct Half64<16> {
  static constexpr int kBytes = 2048, kSecond = 1;
  uint4 step[4];
  __device__ __forceinline__ void load(const uint8_t* shared, int lane) {
#pragma unroll
    for (int s = 0; s < 4; ++s) step[s] = *reinterpret_cast<const uint4*>(shared + s * 512 + lane * 16);
  }
  template <int S, int I>
  __device__ __forceinline__ uint32_t get() const {
    return I == 0 ? step[S].x : I == 1 ? step[S].y : I == 2 ? step[S].z : step[S].w;
  }
  template <int S, int I>
  __device__ __forceinline__ uint32_t fragment() const { return get<S, I>(); }
};

// f16x2 minus f16x2, subnormals kept: both are integers times 2^-24, so the difference is exact.
__device__ __forceinline__ uint32_t minus(uint32_t a, uint32_t b) {
  uint32_t out;
  asm("sub.f16x2 %0, %1, %2;" : "=r"(out) : "r"(a), "r"(b));
  return out;
}

__device__ __forceinline__ float half_bits(uint32_t bits) { return __half2float(__ushort_as_half(static_cast<unsigned short>(bits))); }
// An integer below 2^23 as a float, without the slow conversion.
__device__ __forceinline__ float small_int(uint32_t v) { return __uint_as_float(0x4b000000u | v) - 8388608.0f; }

__device__ __forceinline__ void multiply(float (&c)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint2 b) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b.x), "r"(b.y));
}
__device__ __forceinline__ void multiply_first(float (&c)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint2 b) {  // to what was not there
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%10,%10,%10};"
      : "=f"(c[0]), "=f"(c[1]), "=f"(c[2]), "=f"(c[3])
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b.x), "r"(b.y), "f"(0.0f));
}

// Four 8 x 8 matrices of f16 from shared memory; lane i gives the address of row i % 8 of matrix i / 8. As the B operand of
// a token tile: r[0], r[1] are step 0, r[2], r[3] step 1 of 32 columns.
__device__ __forceinline__ void load_matrices(uint32_t (&r)[4], uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address) : "memory");
}

// Scale and minimum of one group for the lane's two rows.
struct GroupScale {
  float scale[2], min[2];
};

// The scales of a unit. Form: kPlainForm for None, Row, Half and HalfZero, else int(ScaleForm).
inline constexpr int kPlainForm = 0;
constexpr bool has_min(int form) { return form == int(ScaleForm::HalfMin) || form == int(ScaleForm::Super6) || form == int(ScaleForm::SuperN4); }
template <int Form>
struct UnitScales {  // [group][16 rows] f16 scales, then the same of zero points or minima
  static constexpr int kGroup = 0;  // known at run time only
  const uint16_t* at;  // of the lane's first row
  int second;          // elements from a scale to its zero point or minimum
  __device__ __forceinline__ void prepare(const PackedLayout& l) { second = 16 * (128 / l.group); }
  __device__ __forceinline__ void load(const uint8_t* shared, int lane) { at = reinterpret_cast<const uint16_t*>(shared) + (lane >> 2); }
  __device__ __forceinline__ GroupScale group(int g) const {
    GroupScale out;
    out.scale[0] = half_bits(at[g * 16]);
    out.scale[1] = half_bits(at[g * 16 + 8]);
    out.min[0] = out.min[1] = 0;
    if constexpr (Form == int(ScaleForm::HalfMin)) {
      out.min[0] = half_bits(at[second + g * 16]);
      out.min[1] = half_bits(at[second + g * 16 + 8]);
    }
    return out;
  }
  __device__ __forceinline__ void twice(int g, uint32_t (&scale)[2]) const {  // f16x2
    scale[0] = at[g * 16] * 0x00010001u;
    scale[1] = at[g * 16 + 8] * 0x00010001u;
  }
  __device__ __forceinline__ void zeros(int g, uint32_t (&z)[2]) const {
    z[0] = at[second + g * 16] * 0x00010001u;
    z[1] = at[second + g * 16 + 8] * 0x00010001u;
  }
};

// (2^23 + n) d - 2^23 d = n d, rounded once, for an integer n below 2^23 that stands in the low bits of a float's 2^23.
struct Multiplied {
  float d, all;
  __device__ __forceinline__ void set(float by) { d = by, all = by * -8388608.0f; }
  __device__ __forceinline__ float times(uint32_t n_of_2_23) const { return fmaf(__uint_as_float(n_of_2_23), d, all); }
};

template <>
struct UnitScales<int(ScaleForm::Super6)> {  // 16 bytes a row: as a Q4_K block's 12 scale bytes, then d, dmin
  static constexpr int kGroup = 32;
  uint4 words[2];
  Multiplied d[2], dmin[2];
  __device__ __forceinline__ void prepare(const PackedLayout&) {}
  __device__ __forceinline__ void load(const uint8_t* shared, int lane) {
    const auto* rows = reinterpret_cast<const uint4*>(shared);
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      words[r] = rows[(lane >> 2) + 8 * r];
      d[r].set(half_bits(words[r].w & 0xffff)), dmin[r].set(half_bits(words[r].w >> 16));
    }
  }
  __device__ __forceinline__ GroupScale group(int j) const {
    constexpr uint32_t k23 = 0x4b000000u;
    GroupScale out;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const uint4 w = words[r];
      uint32_t sc, mn;
      if (j < 4) {
        sc = ((w.x >> (8 * j)) & 63) | k23;
        mn = ((w.y >> (8 * j)) & 63) | k23;
      } else {
        const int s = 8 * (j - 4);
        sc = ((w.z >> s) & 15) | (((w.x >> (s + 2)) & 0x30) | k23);
        mn = ((w.z >> (s + 4)) & 15) | (((w.y >> (s + 2)) & 0x30) | k23);
      }
      out.scale[r] = d[r].times(sc);
      out.min[r] = dmin[r].times(mn);
    }
    return out;
  }
};

template <>
struct UnitScales<int(ScaleForm::SuperI8)> {  // 16 bytes a row: sc + 128; then (16) f16 d
  static constexpr int kGroup = 16;
  uint4 words[2];
  float d[2];
  __device__ __forceinline__ void prepare(const PackedLayout&) {}
  __device__ __forceinline__ void load(const uint8_t* shared, int lane) {
    const auto* rows = reinterpret_cast<const uint4*>(shared);
    const auto* scale = reinterpret_cast<const uint16_t*>(shared + 256);
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      words[r] = rows[(lane >> 2) + 8 * r];
      d[r] = half_bits(scale[(lane >> 2) + 8 * r]);
    }
  }
  __device__ __forceinline__ GroupScale group(int j) const {
    GroupScale out;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const uint32_t w = j < 4 ? words[r].x : j < 8 ? words[r].y : j < 12 ? words[r].z : words[r].w;
      out.scale[r] = (__uint_as_float(__byte_perm(w, 0x4b000000u, 0x7550 | (j & 3))) - 8388736.0f) * d[r];
      out.min[r] = 0;
    }
    return out;
  }
};

template <>
struct UnitScales<int(ScaleForm::SuperN4)> {  // 16 bytes a row: sc | mn << 4; then (16) f16 pairs d, dmin
  static constexpr int kGroup = 16;
  uint4 words[2];
  Multiplied d[2], dmin[2];
  __device__ __forceinline__ void prepare(const PackedLayout&) {}
  __device__ __forceinline__ void load(const uint8_t* shared, int lane) {
    const auto* rows = reinterpret_cast<const uint4*>(shared);
    const auto* scale = reinterpret_cast<const uint32_t*>(shared + 256);
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      words[r] = rows[(lane >> 2) + 8 * r];
      const uint32_t both = scale[(lane >> 2) + 8 * r];
      d[r].set(half_bits(both & 0xffff)), dmin[r].set(half_bits(both >> 16));
    }
  }
  __device__ __forceinline__ GroupScale group(int j) const {
    GroupScale out;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const uint32_t w = (j < 4 ? words[r].x : j < 8 ? words[r].y : j < 12 ? words[r].z : words[r].w) >> (8 * (j & 3));
      out.scale[r] = d[r].times((w & 15) | 0x4b000000u);
      out.min[r] = dmin[r].times(((w >> 4) & 15) | 0x4b000000u);
    }
    return out;
  }
};

inline constexpr float kCodeUnit = 16777216.0f;  // codes reach the sums as code * 2^-24

// What kernels need of a layout, worked out once on the host.
struct TileShape {
  int units, unit_bytes, scale_bytes, tiles;
  int group_steps;  // steps of 16 columns that share a scale: 8, 4, 2, 1; 0: one scale a row, or none
};
inline TileShape tile_shape(const PackedLayout& l) {
  return {int(l.units()), l.unit_bytes(), l.scale_bytes(), int(l.tiles()), l.form == ScaleForm::Row || l.form == ScaleForm::None ? 0 : l.group / 16};
}

// Where (token, column) of activations lies.
__device__ __forceinline__ int64_t activation_at(const Activations& a, int token, int64_t column) {
  if (a.rows == 0) return token * a.ld + column;
  return (column >> 6) * (a.rows * 64) + token * 64 + (((int(column) >> 3) ^ token) & 7) * 8 + (int(column) & 7);
}

__device__ __forceinline__ uint32_t shared_address(const void* p) { return static_cast<uint32_t>(__cvta_generic_to_shared(p)); }
__device__ __forceinline__ uint64_t read_once_policy() {  // L2 keeps other things
  uint64_t policy;
  asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
  return policy;
}

// Copies into shared memory that end on a barrier (Hopper and later), or in groups of cp.async (before).
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
inline constexpr bool kBulkCopies = true;
#else
inline constexpr bool kBulkCopies = false;
#endif
__device__ __forceinline__ void barrier_init(uint32_t barrier, int count) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(count) : "memory");
#endif
}
__device__ __forceinline__ void barriers_visible() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
}
__device__ __forceinline__ void barrier_expect(uint32_t barrier, int bytes) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
#endif
}
__device__ __forceinline__ void barrier_arrive(uint32_t barrier) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
#endif
}
__device__ __forceinline__ void barrier_wait(uint32_t barrier, uint32_t parity) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile(
      "{\n.reg .pred done;\nagain:\nmbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n@done bra ready;\nbra again;\nready:\n}" ::"r"(barrier), "r"(parity)
      : "memory");
#endif
}
__device__ __forceinline__ void bulk_copy(uint32_t to, const void* from, int bytes, uint32_t barrier, uint64_t policy) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1], %2, [%3], %4;" ::"r"(to), "l"(from), "r"(bytes), "r"(barrier),
               "l"(policy)
               : "memory");
#endif
}
__device__ __forceinline__ void bulk_copy(uint32_t to, const void* from, int bytes, uint32_t barrier) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to), "l"(from), "r"(bytes), "r"(barrier) : "memory");
#endif
}
// Blocks of a cluster: wait for each other (what was written before is visible after), and read each other's memory.
__device__ __forceinline__ void cluster_wait() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
#endif
}
__device__ __forceinline__ float cluster_read(const float* shared, int rank) {
  float value = 0;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  uint32_t remote;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(remote) : "r"(shared_address(shared)), "r"(rank));
  asm volatile("ld.shared::cluster.f32 %0, [%1];" : "=f"(value) : "r"(remote) : "memory");
#endif
  return value;
}
__device__ __forceinline__ float4 cluster_read(const float4* shared, int rank) {
  float4 value{};
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  uint32_t remote;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(remote) : "r"(shared_address(shared)), "r"(rank));
  asm volatile("ld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [%4];" : "=f"(value.x), "=f"(value.y), "=f"(value.z), "=f"(value.w) : "r"(remote) : "memory");
#endif
  return value;
}
// `bytes` by the threads first, first + stride, ... of those that share the copy, 16 bytes each.
__device__ __forceinline__ void copy_pieces(uint32_t to, const void* from, int bytes, int first, int stride) {
  for (int at = first * 16; at < bytes; at += stride * 16)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to + at), "l"(static_cast<const uint8_t*>(from) + at) : "memory");
}
__device__ __forceinline__ void copies_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int N>
__device__ __forceinline__ void copies_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory"); }

}  // namespace teeny::cuda
