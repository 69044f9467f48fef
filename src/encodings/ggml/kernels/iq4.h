// IQ4_NL and IQ4_XS: codes into a fixed table of 16 levels. Included once per instruction set (see common/lanes.h).
// Inverse scales (t + table[0]) / max for t in -7..7, weights x^2 or importance (formats 7.1, 7.2).

// Level i starts at twice-the-value >= kIq4Twice[i]: the sum of two neighbours, exact in float.
constexpr float iq4_twice(int i) { return iq4_value(i - 1) + iq4_value(i); }

TEENY_INLINE V iq4_level(V v) {
  const V twice = v + v;
  V q = splat(iq4_value(0));
  for (int i = 1; i < 16; ++i) q = select(twice >= iq4_twice(i), splat(iq4_value(i)), q);
  return q;
}

TEENY_INLINE void iq4_codes(const float* x, float inverse, uint8_t* q) {  // 32 weights
  for (int i = 0; i < 32; i += kLanes) {
    const V v = inverse * load(x + i), twice = v + v;
    I code{};
    for (int k = 1; k < 16; ++k) code -= I(twice >= iq4_twice(k));  // true is -1
    store_bytes(q + i, code);
  }
}

TEENY_INLINE V search_iq4(const V* x, const V* w) {
  V amax;
  const V max = signed_max<32>(x, amax);
  V scale = splat(0), best = splat(0);
  for (int t = -8; t <= 7; ++t) {  // -8 stands for the undisturbed first try
    const V inverse = t == -8 ? 1.f / (-max / iq4_value(0)) : (float(t) + iq4_value(0)) / max;
    V sum_qx = splat(0), sum_q2 = splat(0);
    for (int i = 0; i < 32; ++i) {
      const V q = iq4_level(inverse * x[i]), wq = w[i] * q;
      sum_qx += wq * x[i];
      sum_q2 += wq * q;
    }
    const I better = t == -8 ? I(sum_q2 > 0.f) : (sum_q2 > 0.f) & (sum_qx * sum_qx > best * sum_q2);
    scale = select(better, sum_qx / sum_q2, scale);
    best = select(better, scale * sum_qx, best);
  }
  return select(amax < kZeroGroup, splat(0), scale);
}

// Scales of kLanes runs of 32; sigma2 is of each lane's (super-)block.
TEENY_INLINE V iq4_scales(const float* x, const float* const* qw, V sigma2) {
  V t[32], w[32];
  load_lanes<32>(x, 32, t);
  if (qw) {
    importance_weights<32>(qw, sigma2, t, w);
  } else {
    for (int i = 0; i < 32; ++i) w[i] = t[i] * t[i];
  }
  return search_iq4(t, w);
}

template <>
struct Search<ShapeIQ4_NL> {
  struct State {};
  TEENY_INLINE static void group(const float* x, const float* importance, const Blocks& out, int64_t first, State&) {
    const int64_t blocks = out.rows * out.cols / 32;
    alignas(64) float scratch[kLanes * 32];
    const Group<32> g(x, importance, first, blocks, out.cols, scratch);
    const V scale = iq4_scales(g.x, importance ? g.qw : nullptr, sum_squares<32>(g.x, 32, 32) * (2.f / 32.f));
    for (int l = 0; l < g.count; ++l) {
      out.d[first + l] = to_half(scale[l]);
      const float inverse = scale[l] != 0 ? 1.f / scale[l] : 0.f;
      iq4_codes(g.x + l * 32, inverse, out.codes + (first + l) * 32);
    }
  }
};

TEENY_INLINE void quantize_iq4_xs_block(const float* x, const float* scale, const Slot& s) {
  const float d = -largest(scale, 8) / 32.f, inverse = d != 0 ? 1.f / d : 0.f;  // not rounded to fp16 for the codes
  *s.d = to_half(d);
  for (int j = 0; j < 8; ++j) {
    int v = nearest_int(inverse * scale[j]);
    v = v < -32 ? -32 : v > 31 ? 31 : v;
    s.sc[j] = int8_t(v);
    const float step = d * float(v);
    iq4_codes(x + j * 32, step != 0 ? 1.f / step : 0.f, s.q + j * 32);
  }
}

template <>
struct Search<ShapeIQ4_XS> {
  struct State {};
  TEENY_INLINE static void group(const float* x, const float* importance, const Blocks& out, int64_t first, State&) {
    const int64_t blocks = out.rows * out.cols / 256;
    alignas(64) float scratch[kLanes * 256], scale[kLanes * 8], sigma2[kLanes];
    const Group<256> g(x, importance, first, blocks, out.cols, scratch);
    if (importance) store(sigma2, sum_squares<32>(g.x, 256, 256) * (2.f / 256.f));
    for (int batch = 0; batch < 8; ++batch) {
      const float* rows[kLanes];
      V lane_sigma2 = splat(0);
      if (importance)
        for (int l = 0; l < kLanes; ++l) {
          const int s = batch * kLanes + l;
          rows[l] = g.qw[s / 8] + s % 8 * 32;
          lane_sigma2[l] = sigma2[s / 8];
        }
      store(scale + batch * kLanes, iq4_scales(g.x + batch * kLanes * 32, importance ? rows : nullptr, lane_sigma2));
    }
    for (int b = 0; b < g.count; ++b) quantize_iq4_xs_block(g.x + b * 256, scale + b * 8, slot<ShapeIQ4_XS>(out, first + b));
  }
};
