// A vector of floats, one lane per (sub-)block: every lane does its own block's arithmetic in order, so the results do
// not depend on the width. Included once per instruction set, inside namespace TEENY_ISA with TEENY_LANES lanes: no
// include guard, no includes (what it needs stands in ggml/isa.h), -ffp-contract=off. lanes_cuda.h is its twin for GPUs:
// the searches on top of either are one source.
constexpr int kLanes = TEENY_LANES;
using V = float __attribute__((vector_size(TEENY_LANES * 4)));
using I = int32_t __attribute__((vector_size(TEENY_LANES * 4)));
using Bytes = uint8_t __attribute__((vector_size(TEENY_LANES)));

#define TEENY_INLINE [[gnu::always_inline]] inline

TEENY_INLINE I to_ints(V v) { return __builtin_convertvector(v, I); }
TEENY_INLINE V to_floats(I v) { return __builtin_convertvector(v, V); }

TEENY_INLINE V splat(float x) { return x - V{}; }
TEENY_INLINE V select(I mask, V a, V b) { return mask ? a : b; }
TEENY_INLINE V absolute(V v) { return (V)((I)v & 0x7fffffff); }
TEENY_INLINE V load(const float* p) {
  V v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
TEENY_INLINE void store(float* p, V v) { __builtin_memcpy(p, &v, sizeof v); }
TEENY_INLINE bool any(I mask) {
  int32_t bits = 0;
  for (int l = 0; l < kLanes; ++l) bits |= mask[l];
  return bits != 0;
}
TEENY_INLINE void store_bytes(uint8_t* p, I v) {
  const Bytes bytes = __builtin_convertvector(v, Bytes);
  __builtin_memcpy(p, &bytes, sizeof bytes);
}
// Lane l takes lane l ^ distance: folding with it leaves the same number in every lane.
template <class T>
TEENY_INLINE T swapped(T v, int distance) {
#if defined(__clang__)
  T out = v;
  for (int l = 0; l < kLanes; ++l) out[l] = v[l ^ distance];
  return out;
#else
  I from{};
  for (int l = 0; l < kLanes; ++l) from[l] = l ^ distance;
  return __builtin_shuffle(v, from);
#endif
}
TEENY_INLINE V square_root(V v) {
#if defined(__SSE2__)
  float f[kLanes];
  store(f, v);
  for (int l = 0; l < kLanes; l += 4) _mm_storeu_ps(f + l, _mm_sqrt_ps(_mm_loadu_ps(f + l)));
  return load(f);
#else
  for (int l = 0; l < kLanes; ++l) v[l] = __builtin_sqrtf(v[l]);
  return v;
#endif
}

constexpr float kRoundMagic = 12582912.f;  // 1.5 * 2^23: adding it rounds to an integer, half to even, for |v| < 2^22

// clamp, then round half to even; the bounds are integers, so the order does not matter. NaN becomes lo.
TEENY_INLINE V round_clamped(V v, float lo, float hi) {
  v = select(v > lo, v, splat(lo));
  v = select(v < hi, v, splat(hi));
  return (v + kRoundMagic) - kRoundMagic;
}
// The same for numbers of any size, wrapping as ggml's nearest_int does beyond 2^22.
TEENY_INLINE V round_wrapped(V v, float lo, float hi) {
  const I i = ((I)(v + kRoundMagic) & 0x7fffff) - 0x400000;
  v = to_floats(i);
  v = select(v > lo, v, splat(lo));
  return select(v < hi, v, splat(hi));
}
TEENY_INLINE int nearest_int(float v) {
  const float shifted = v + kRoundMagic;
  int32_t bits;
  __builtin_memcpy(&bits, &shifted, sizeof bits);
  return (bits & 0x7fffff) - 0x400000;
}

// out[i] = element i of each lane's run of n floats; lane l starts at x + l * stride.
template <int n>
TEENY_INLINE void load_lanes(const float* x, int stride, V* out) {
  alignas(64) float t[n][kLanes];
  for (int l = 0; l < kLanes; ++l)
    for (int i = 0; i < n; ++i) t[i][l] = x[l * stride + i];
  for (int i = 0; i < n; ++i) out[i] = load(t[i]);
}
template <int n>
TEENY_INLINE void load_lanes(const float* const* rows, V* out) {
  alignas(64) float t[n][kLanes];
  for (int l = 0; l < kLanes; ++l)
    for (int i = 0; i < n; ++i) t[i][l] = rows[l][i];
  for (int i = 0; i < n; ++i) out[i] = load(t[i]);
}
