// Q8_0, Q4_0, Q4_1, Q5_0, Q5_1: one fp16 scale (and minimum) per 32 weights. Included once per instruction set (see
// common/lanes.h). Plain rounding without importance, the searches of formats 7.2 with it.

// Largest magnitude of a block, as the bits of a float.
TEENY_INLINE int32_t amax_bits(const float* x) {
  I most{};
  for (int i = 0; i < 32; i += kLanes) {
    const I bits = (I)load(x + i) & 0x7fffffff;
    most = bits > most ? bits : most;
  }
  for (int k = kLanes / 2; k > 0; k /= 2) {
    const I other = swapped(most, k);
    most = other > most ? other : most;
  }
  return most[0];
}
TEENY_INLINE float float_of(int32_t bits) {
  float f;
  memcpy(&f, &bits, sizeof f);
  return f;
}
TEENY_INLINE int32_t bits_of(float f) {
  int32_t bits;
  memcpy(&bits, &f, sizeof bits);
  return bits;
}

TEENY_INLINE void plain_q8_0(const float* x, const Blocks& out, int64_t b) {
  const float d = float_of(amax_bits(x)) / 127.f, inverse = d != 0 ? 1.f / d : 0.f;
  out.d[b] = to_half(d);
  uint8_t* q = out.codes + b * 32;
  for (int i = 0; i < 32; i += kLanes) {  // half away from zero
    V v = load(x + i) * inverse;
    v = select(v > -127.f, v, splat(-127.f));
    v = select(v < 127.f, v, splat(127.f));
    const I whole = to_ints(v);
    const V part = v - to_floats(whole);
    store_bytes(q + i, whole - I(part >= 0.5f) + I(part <= -0.5f) + 128);  // true is -1
  }
}

// Codes trunc((x - base) * inverse + half) clamped to 0..hi.
TEENY_INLINE void codes_truncated(const float* x, float base, float inverse, float half, float hi, uint8_t* q) {
  for (int i = 0; i < 32; i += kLanes) {
    V v = (load(x + i) - base) * inverse + half;
    v = select(v > 0.f, v, splat(0));
    v = select(v < hi, v, splat(hi));
    store_bytes(q + i, to_ints(v));
  }
}

// The first weight of the largest magnitude gives the scale its sign.
TEENY_INLINE float signed_amax(const float* x) {
  const int32_t amax = amax_bits(x);
  if (amax == 0) return 0;  // +0 whatever the zeros' signs: a block of zeros is stored with d = -0
  for (int i = 0; i < 32; ++i)
    if ((bits_of(x[i]) & 0x7fffffff) == amax) return x[i];
  return 0;
}

template <class Shape>
TEENY_INLINE void plain_scaled(const float* x, const Blocks& out, int64_t b) {  // Q4_0, Q5_0
  const float d = signed_amax(x) / float(-Shape::zero), inverse = d != 0 ? 1.f / d : 0.f;
  out.d[b] = to_half(d);
  codes_truncated(x, 0, inverse, float(Shape::zero) + 0.5f, Shape::hi, out.codes + b * 32);
}

template <class Shape>
TEENY_INLINE void plain_affine(const float* x, const Blocks& out, int64_t b) {  // Q4_1, Q5_1
  V lo = load(x), hi = lo;
  for (int i = kLanes; i < 32; i += kLanes) {
    const V v = load(x + i);
    lo = select(v < lo, v, lo);
    hi = select(v > hi, v, hi);
  }
  for (int k = kLanes / 2; k > 0; k /= 2) {
    const V lower = swapped(lo, k), higher = swapped(hi, k);
    lo = select(lower < lo, lower, lo);
    hi = select(higher > hi, higher, hi);
  }
  float min = lo[0];
  const float max = hi[0];
  if (min == 0)  // the sign of the first zero is stored
    for (int i = 31; i >= 0; --i) min = x[i] == 0 ? x[i] : min;
  const float d = (max - min) / float(Shape::hi), inverse = d != 0 ? 1.f / d : 0.f;
  out.d[b] = to_half(d);
  out.m[b] = to_half(min);
  codes_truncated(x, min, inverse, 0.5f, Shape::hi, out.codes + b * 32);
}

// Mean square of the row that a block lies in, kept while the row stays the same.
struct RowSigma {
  int64_t row = -1;
  float value = 0;
  TEENY_INLINE float of(const float* x, int64_t wanted, int64_t cols) {
    if (wanted != row) {
      float sum = 0;
      for (int64_t i = 0; i < cols; ++i) sum += x[wanted * cols + i] * x[wanted * cols + i];
      value = sum / float(cols), row = wanted;
    }
    return value;
  }
};

template <class Shape>
TEENY_INLINE void weighted_legacy(const float* x, const float* importance, const Blocks& out, int64_t first, RowSigma& sigma) {
  const int64_t per_row = out.cols / 32, blocks = out.rows * per_row;
  alignas(64) float scratch[kLanes * 32];
  const Group<32> g(x, importance, first, blocks, out.cols, scratch);
  V t[32], w[32], sigma2 = splat(0);
  load_lanes<32>(g.x, 32, t);
  for (int l = 0; l < g.count; ++l) sigma2[l] = sigma.of(x, (first + l) / per_row, out.cols);
  importance_weights<32>(g.qw, sigma2, t, w);
  V scale, inverse, base = splat(0), min = splat(0);
  I zero{};
  if (Shape::min) {
    const AffineFit fit = search_affine<32>(t, w, Shape::hi, importance_search());
    scale = fit.scale, inverse = fit.inverse, base = fit.base, min = fit.min;
  } else {
    const ScaledFit fit = search_scaled<32>(t, w, Shape::zero);
    scale = fit.scale, inverse = fit.inverse, zero = fit.zero_group;
  }
  for (int l = 0; l < g.count; ++l) {
    uint8_t* q = out.codes + (first + l) * 32;
    out.d[first + l] = to_half(scale[l]);
    if (Shape::min) out.m[first + l] = to_half(-min[l]);
    codes_scaled<32>(g.x + l * 32, base[l], inverse[l], -Shape::zero, Shape::hi - Shape::zero, Shape::zero, q);
    if (zero[l]) memset(q, 0, 32);
  }
}

template <>
struct Search<ShapeQ8_0> {
  struct State {};
  TEENY_INLINE static void group(const float* x, const float*, const Blocks& out, int64_t first, State&) {
    const int64_t blocks = out.rows * out.cols / 32;
    for (int64_t b = first; b < first + kLanes && b < blocks; ++b) plain_q8_0(x + b * 32, out, b);
  }
};

template <class Shape>
struct LegacySearch {
  using State = RowSigma;
  TEENY_INLINE static void group(const float* x, const float* importance, const Blocks& out, int64_t first, State& sigma) {
    if (importance) return weighted_legacy<Shape>(x, importance, out, first, sigma);
    const int64_t blocks = out.rows * out.cols / 32;
    for (int64_t b = first; b < first + kLanes && b < blocks; ++b) {
      if constexpr (Shape::min) plain_affine<Shape>(x + b * 32, out, b);
      else plain_scaled<Shape>(x + b * 32, out, b);
    }
  }
};
template <>
struct Search<ShapeQ4_0> : LegacySearch<ShapeQ4_0> {};
template <>
struct Search<ShapeQ4_1> : LegacySearch<ShapeQ4_1> {};
template <>
struct Search<ShapeQ5_0> : LegacySearch<ShapeQ5_0> {};
template <>
struct Search<ShapeQ5_1> : LegacySearch<ShapeQ5_1> {};
