// One token against weights in blocks of 256: the eight columns of a product hold the groups of a unit instead of tokens. An
// input stands in the column of its group, 0 in the others, so that a unit ends with every group's sum in a register, two
// groups a lane: a scale is decoded by one lane, once, and not by four.
#pragma once
#include "kernels/cuda/fragments.cuh"

namespace teeny::cuda {

// Two bytes of `v` as floats above 2^23 (`of` 0, 1: the lower, the upper).
template <int Of>
__device__ __forceinline__ float byte_above(uint32_t v, float above) {
  return __uint_as_float(__byte_perm(v, 0x4b000000u, 0x7540 | Of)) - above;
}
inline constexpr float k2To23 = 8388608.0f;

// Of a row of a unit: what the lane's groups (2 t, 2 t + 1 of each eight) count, and the sum over them.
template <int Form>
struct LaneScales;

template <>
struct LaneScales<int(ScaleForm::Super6)> {
  static constexpr int kSets = 1;  // of eight groups
  uint32_t low, high, shift, min_shift;
  bool upper;
  __device__ __forceinline__ void begin(int lane) {
    upper = (lane & 2) != 0, shift = 16 * (lane & 1), min_shift = shift + (upper ? 4 : 0);
    low = upper ? 0x0f0fu : 0x3f3fu, high = upper ? 0x3030u : 0;
  }
  // total + scale * (d sc) codes - (dmin mn) inputs.
  __device__ __forceinline__ float add(const uint8_t* scales, int row, const float (&codes)[kSets][2], const float (&inputs)[kSets][2], float scale, float total) const {
    const uint4 w = reinterpret_cast<const uint4*>(scales)[row];
    const uint32_t sc = (((upper ? w.z : w.x) >> shift) & low) | ((w.x >> (shift + 2)) & high), mn = (((upper ? w.z : w.y) >> min_shift) & low) | ((w.y >> (shift + 2)) & high);
    const float by_scale = fmaf(byte_above<1>(sc, k2To23), codes[0][1], byte_above<0>(sc, k2To23) * codes[0][0]);
    const float by_min = fmaf(byte_above<1>(mn, k2To23), inputs[0][1], byte_above<0>(mn, k2To23) * inputs[0][0]);
    return fmaf(-half_bits(w.w >> 16), by_min, fmaf(half_bits(w.w & 0xffff) * scale, by_scale, total));
  }
};

template <>
struct LaneScales<int(ScaleForm::SuperI8)> {
  static constexpr int kSets = 2;
  int at;
  __device__ __forceinline__ void begin(int lane) { at = 2 * (lane & 3); }
  __device__ __forceinline__ float add(const uint8_t* scales, int row, const float (&codes)[kSets][2], const float (&)[kSets][2], float scale, float total) const {
    float sum = 0;
#pragma unroll
    for (int s = 0; s < kSets; ++s) {
      const uint32_t sc = *reinterpret_cast<const uint16_t*>(scales + row * 16 + 8 * s + at);
      sum = fmaf(byte_above<0>(sc, k2To23 + 128), codes[s][0], sum), sum = fmaf(byte_above<1>(sc, k2To23 + 128), codes[s][1], sum);
    }
    return fmaf(half_bits(reinterpret_cast<const uint16_t*>(scales + 256)[row]) * scale, sum, total);
  }
};

template <>
struct LaneScales<int(ScaleForm::SuperN4)> {
  static constexpr int kSets = 2;
  int at;
  __device__ __forceinline__ void begin(int lane) { at = 2 * (lane & 3); }
  __device__ __forceinline__ float add(const uint8_t* scales, int row, const float (&codes)[kSets][2], const float (&inputs)[kSets][2], float scale, float total) const {
    float by_scale = 0, by_min = 0;
#pragma unroll
    for (int s = 0; s < kSets; ++s) {
      const uint32_t both = *reinterpret_cast<const uint16_t*>(scales + row * 16 + 8 * s + at), sc = both & 0x0f0f, mn = (both >> 4) & 0x0f0f;
      by_scale = fmaf(byte_above<0>(sc, k2To23), codes[s][0], by_scale), by_scale = fmaf(byte_above<1>(sc, k2To23), codes[s][1], by_scale);
      by_min = fmaf(byte_above<0>(mn, k2To23), inputs[s][0], by_min), by_min = fmaf(byte_above<1>(mn, k2To23), inputs[s][1], by_min);
    }
    const uint32_t d = reinterpret_cast<const uint32_t*>(scales + 256)[row];
    return fmaf(-half_bits(d >> 16), by_min, fmaf(half_bits(d & 0xffff) * scale, by_scale, total));
  }
};

// RT tiles' way through the units. `panel`: the unit's inputs in shared memory, 256 f16 in their order.
template <int Bits, int Form, int RT>
struct OneToken {
  static constexpr int kSets = LaneScales<Form>::kSets, kSecond = Half64<Bits>::kSecond;
  static constexpr bool kZero = !has_min(Form);
  LaneScales<Form> scales;
  uint32_t mask[8];  // all ones where the lane's column is this group's
  uint32_t input_at; // bytes from a unit's inputs to the ones that the lane loads for its warp
  float zero[2];
  float total[RT][2];

  __device__ __forceinline__ void begin(const PackedLayout& l, int lane) {
    scales.begin(lane);
    const int matrix = lane >> 3, group = lane & 7;  // step of the group (or set of groups), half of the step
    input_at = kSets == 1 ? 64 * group + 16 * matrix : 256 * (matrix >> 1) + 32 * group + 16 * (matrix & 1);
#pragma unroll
    for (int g = 0; g < 8; ++g) {
      mask[g] = (lane >> 2) == g ? ~0u : 0u;
      asm volatile("" : "+r"(mask[g]));  // (not worked out again in the loop)
    }
    zero[0] = -float(l.zero), zero[1] = zero[0] * float(kSecond);
#pragma unroll
    for (int r = 0; r < RT; ++r) total[r][0] = total[r][1] = 0;
  }

  __device__ __forceinline__ void unit(const uint8_t* tiles, int tile_bytes, uint32_t panel, int lane) {
    constexpr int kHalfBytes = Half64<Bits>::kBytes;
    uint32_t x[4];
    load_matrices(x, panel + input_at);
    float ones[kSets][4], codes[RT][kSets][4];
    constexpr uint32_t one = 0x00010001u;
    multiply_first(ones[0], one, one, one, one, make_uint2(x[0], x[1]));
    if constexpr (kSets == 1) multiply(ones[0], one, one, one, one, make_uint2(x[2], x[3]));
    else multiply_first(ones[1], one, one, one, one, make_uint2(x[2], x[3]));
    const auto half = [&]<int H>() {
      Half64<Bits> words[RT];
#pragma unroll
      for (int r = 0; r < RT; ++r) words[r].load(tiles + r * tile_bytes + H * kHalfBytes, lane);
      const auto step = [&]<int S>() {
        constexpr int k = H * 4 + S, group = kSets == 1 ? k / 2 : k % 8, set = kSets == 1 ? 0 : k / 8, from = kSets == 1 ? k % 2 : k / 8;
        const uint2 b = make_uint2(x[2 * from] & mask[group], x[2 * from + 1] & mask[group]);
#pragma unroll
        for (int r = 0; r < RT; ++r) {
          const auto& w = words[r];
          if constexpr (k % (16 / kSets) == 0) multiply_first(codes[r][set], w.template fragment<S, 0>(), w.template fragment<S, 1>(), w.template fragment<S, 2>(), w.template fragment<S, 3>(), b);
          else multiply(codes[r][set], w.template fragment<S, 0>(), w.template fragment<S, 1>(), w.template fragment<S, 2>(), w.template fragment<S, 3>(), b);
        }
      };
      step.template operator()<0>();
      step.template operator()<1>();
      step.template operator()<2>();
      step.template operator()<3>();
    };
    half.template operator()<0>();
    half.template operator()<1>();
    half.template operator()<2>();
    half.template operator()<3>();
    float inputs[kSets][2];
#pragma unroll
    for (int s = 0; s < kSets; ++s) inputs[s][0] = ones[s][0], inputs[s][1] = ones[s][1];
#pragma unroll
    for (int r = 0; r < RT; ++r)
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        float sums[kSets][2];
#pragma unroll
        for (int s = 0; s < kSets; ++s)
#pragma unroll
          for (int j = 0; j < 2; ++j) sums[s][j] = kZero ? fmaf(zero[i], inputs[s][j], codes[r][s][2 * i + j]) : codes[r][s][2 * i + j];
        total[r][i] = scales.add(tiles + r * tile_bytes + 4 * kHalfBytes, (lane >> 2) + 8 * i, sums, inputs, i == 0 ? 1.0f : 1.0f / kSecond, total[r][i]);
      }
  }
  // Each lane had some of the groups.
  __device__ __forceinline__ float row_sum(int r, int i) const {
    float sum = total[r][i];
    sum += __shfl_xor_sync(~0u, sum, 1);
    return sum + __shfl_xor_sync(~0u, sum, 2);
  }
};

}  // namespace teeny::cuda
