// Q2_K, Q4_K, Q5_K: sub-blocks with scale and minimum, both held as small integers times fp16 d and dmin. Included once
// per instruction set (see common/lanes.h). The searches are those of formats 7.1 (plain) and 7.2 (importance).

TEENY_INLINE constexpr AffineSearch importance_search() { return {-0.9f, 0.05f, 36, false}; }

// Largest integer scale and the plain search of each type.
template <class Shape>
struct AffineTraits;
template <>
struct AffineTraits<ShapeQ2_K> {
  static constexpr int top = 15, sigma = 1;
  TEENY_INLINE static constexpr AffineSearch plain() { return {-0.5f, 0.1f, 15, true}; }
};
template <>
struct AffineTraits<ShapeQ4_K> {
  static constexpr int top = 63, sigma = 2;
  TEENY_INLINE static constexpr AffineSearch plain() { return {-1.f, 0.1f, 20, false}; }
};
template <>
struct AffineTraits<ShapeQ5_K> {
  static constexpr int top = 63, sigma = 2;
  TEENY_INLINE static constexpr AffineSearch plain() { return {-0.5f, 0.1f, 15, false}; }
};

// Results of a group, one float per sub-block, in block order.
template <int subs>
struct AffineGroup {
  float scale[kLanes * subs], min[kLanes * subs], inverse[kLanes * subs], base[kLanes * subs], weight[kLanes * subs];
};

template <class Shape>
TEENY_INLINE void search_group(const Group<256>& g, bool weighted, AffineGroup<Shape::subs>& out) {
  using T = AffineTraits<Shape>;
  constexpr int n = Shape::sub, subs = Shape::subs;
  alignas(64) float sigma2[kLanes];
  if (weighted) store(sigma2, float(T::sigma) * sum_squares<n>(g.x, 256, 256) / 256.f);
  for (int batch = 0; batch < subs; ++batch) {
    V x[n], w[n];
    load_lanes<n>(g.x + batch * kLanes * n, n, x);
    if (weighted) {
      const float* rows[kLanes];
      V lane_sigma2;
      for (int l = 0; l < kLanes; ++l) {
        const int s = batch * kLanes + l;
        rows[l] = g.qw[s / subs] + s % subs * n;
        lane_sigma2[l] = sigma2[s / subs];
      }
      importance_weights<n>(rows, lane_sigma2, x, w);
      V sum = splat(0);
      for (int i = 0; i < n; ++i) sum += w[i];
      store(out.weight + batch * kLanes, sum);
    } else if (n == 16) {
      for (int i = 0; i < n; ++i) w[i] = absolute(x[i]);
    } else {
      V sum = splat(0);
      for (int i = 0; i < n; ++i) sum += x[i] * x[i];
      const V rms = square_root(sum / float(n));
      for (int i = 0; i < n; ++i) w[i] = rms + absolute(x[i]);
    }
    const AffineFit fit = search_affine<n>(x, w, Shape::hi, weighted ? importance_search() : T::plain());
    store(out.scale + batch * kLanes, fit.scale);
    store(out.min + batch * kLanes, fit.min);
    store(out.inverse + batch * kLanes, fit.inverse);
    store(out.base + batch * kLanes, fit.base);
  }
}

// Integer scales of one block against its largest, without importance.
template <int subs>
TEENY_INLINE uint16_t integers_by_max(const float* value, int top, int8_t* out) {
  float max = 0;
  for (int s = 0; s < subs; ++s) max = value[s] > max ? value[s] : max;
  const float inverse = max > 0 ? float(top) / max : 0.f;
  for (int s = 0; s < subs; ++s) {
    const int v = nearest_int(inverse * value[s]) & 255;  // stored as a byte first
    out[s] = int8_t(v < top ? v : top);
  }
  return to_half(max / float(top));
}

// Integer scales of kLanes blocks by weighted search.
template <int subs>
TEENY_INLINE void integers_by_search(const float* value, const float* weight, int top, int8_t* out, uint16_t* d) {
  V x[subs], w[subs], l[subs];
  load_lanes<subs>(value, subs, x);
  load_lanes<subs>(weight, subs, w);
  const V scale = search_unsigned<subs>(x, w, top, l);
  for (int b = 0; b < kLanes; ++b) {
    d[b] = to_half(scale[b]);
    for (int s = 0; s < subs; ++s) out[b * subs + s] = int8_t(l[s][b]);
  }
}

template <class Shape>
struct AffineSearchOf {
  struct State {};
  TEENY_INLINE static void group(const float* x, const float* importance, const Blocks& out, int64_t first, State&) {
    constexpr int subs = Shape::subs, n = Shape::sub, top = AffineTraits<Shape>::top;
    const int64_t blocks = out.rows * out.cols / 256;
    alignas(64) float scratch[kLanes * 256];
    AffineGroup<subs> found;
    const Group<256> g(x, importance, first, blocks, out.cols, scratch);
    search_group<Shape>(g, importance, found);
    int8_t sc[kLanes * subs], mn[kLanes * subs];
    uint16_t d[kLanes], dmin[kLanes];
    if (importance) {
      integers_by_search<subs>(found.scale, found.weight, top, sc, d);
      integers_by_search<subs>(found.min, found.weight, top, mn, dmin);
    }
    for (int b = 0; b < g.count; ++b) {
      if (!importance) {
        d[b] = integers_by_max<subs>(found.scale + b * subs, top, sc + b * subs);
        dmin[b] = integers_by_max<subs>(found.min + b * subs, top, mn + b * subs);
      }
      const Slot s = slot<Shape>(out, first + b);
      *s.d = d[b], *s.m = dmin[b];
      memcpy(s.sc, sc + b * subs, subs);
      memcpy(s.mn, mn + b * subs, subs);
      for (int j = 0; j < subs; ++j) {
        const float* xs = g.x + b * 256 + j * n;
        const float scale = half_to_float(d[b]) * float(s.sc[j]), min = half_to_float(dmin[b]) * float(s.mn[j]);
        if (scale != 0) codes_divided<n>(xs, min, scale, 0, Shape::hi, 0, s.q + j * n);
        else codes_scaled<n>(xs, found.base[b * subs + j], found.inverse[b * subs + j], 0, Shape::hi, 0, s.q + j * n);
      }
    }
  }
};
template <>
struct Search<ShapeQ2_K> : AffineSearchOf<ShapeQ2_K> {};
template <>
struct Search<ShapeQ4_K> : AffineSearchOf<ShapeQ4_K> {};
template <>
struct Search<ShapeQ5_K> : AffineSearchOf<ShapeQ5_K> {};
