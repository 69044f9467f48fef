// Q3_K and Q6_K: sub-blocks with a scale only, held as a signed integer times fp16 d. Included once per instruction set
// (see common/lanes.h). The searches are those of formats 7.1 (plain) and 7.2 (importance).

// The scale of the largest magnitude of a block, with its sign.
TEENY_INLINE float largest(const float* value, int n) {
  float amax = 0, max = 0;
  for (int s = 0; s < n; ++s) {
    const float a = value[s] < 0 ? -value[s] : value[s];
    if (a > amax) amax = a, max = value[s];
  }
  return max;
}

// Codes of one block on its stored scales; sub-blocks whose stored scale is zero keep `searched`.
template <class Shape>
TEENY_INLINE void scaled_codes(const float* x, const Slot& s, const uint8_t* searched) {
  constexpr int n = Shape::sub;
  for (int j = 0; j < Shape::subs; ++j) {
    const float d = half_to_float(*s.d) * float(s.sc[j]);
    if (d != 0) codes_divided<n>(x + j * n, 0, d, -Shape::zero, Shape::hi - Shape::zero, Shape::zero, s.q + j * n);
    else memcpy(s.q + j * n, searched + j * n, n);
  }
}

TEENY_INLINE void quantize_q6_k_block(const float* x, const float* scale, const uint8_t* searched, const Slot& s) {
  const float max = largest(scale, 16);
  if (!((max < 0 ? -max : max) >= kZeroGroup)) {
    *s.d = 0;
    memset(s.sc, 0, 16);
    memset(s.q, 0, 256);
    return;
  }
  const float inverse = -128.f / max;
  *s.d = to_half(1 / inverse);
  for (int j = 0; j < 16; ++j) {
    const int v = nearest_int(inverse * scale[j]);
    s.sc[j] = int8_t(v < 127 ? v : 127);
  }
  scaled_codes<ShapeQ6_K>(x, s, searched);
}

template <>
struct Search<ShapeQ6_K> {
  struct State {};
  TEENY_INLINE static void group(const float* x, const float* importance, const Blocks& out, int64_t first, State&) {
    const int64_t blocks = out.rows * out.cols / 256;
    alignas(64) float scratch[kLanes * 256], scale[kLanes * 16], inverse[kLanes * 16];
    int32_t zero[kLanes * 16];
    const Group<256> g(x, importance, first, blocks, out.cols, scratch);
    for (int batch = 0; batch < 16; ++batch) {
      V t[16], w[16];
      load_lanes<16>(g.x + batch * kLanes * 16, 16, t);
      const float* rows[kLanes];
      if (importance) {
        for (int l = 0; l < kLanes; ++l) rows[l] = g.qw[(batch * kLanes + l) / 16] + (batch * kLanes + l) % 16 * 16;
        load_lanes<16>(rows, w);
      } else {
        for (int i = 0; i < 16; ++i) w[i] = t[i] * t[i];
      }
      const ScaledFit fit = search_scaled<16>(t, w, 32);
      store(scale + batch * kLanes, fit.scale);
      store(inverse + batch * kLanes, fit.inverse);
      memcpy(zero + batch * kLanes, &fit.zero_group, sizeof fit.zero_group);
    }
    for (int b = 0; b < g.count; ++b) {
      uint8_t searched[256];
      for (int j = 0; j < 16; ++j) {
        codes_scaled<16>(g.x + b * 256 + j * 16, 0, inverse[b * 16 + j], -32, 31, 32, searched + j * 16);
        if (zero[b * 16 + j]) memset(searched + j * 16, 0, 16);
      }
      quantize_q6_k_block(g.x + b * 256, scale + b * 16, searched, slot<ShapeQ6_K>(out, first + b));
    }
  }
};

// Scales and codes of a group's sub-blocks of 16 for Q3_K, and with importance the sum of the weights of each.
TEENY_INLINE void search_q3_k(const Group<256>& g, bool weighted, float* scale, float* weight, uint8_t* searched) {
  alignas(64) float sigma2[kLanes];
  if (weighted) store(sigma2, 2.f * sum_squares<16>(g.x, 256, 256) / 256.f);
  for (int batch = 0; batch < 16; ++batch) {
    V t[16], w[16], l[16];
    load_lanes<16>(g.x + batch * kLanes * 16, 16, t);
    if (weighted) {
      const float* rows[kLanes];
      V lane_sigma2;
      for (int k = 0; k < kLanes; ++k) {
        const int s = batch * kLanes + k;
        rows[k] = g.qw[s / 16] + s % 16 * 16;
        lane_sigma2[k] = sigma2[s / 16];
      }
      importance_weights<16>(rows, lane_sigma2, t, w);
      V sum = splat(0);
      for (int i = 0; i < 16; ++i) sum += w[i];
      store(weight + batch * kLanes, sum);
      const ScaledFit fit = search_scaled<16>(t, w, 4);
      store(scale + batch * kLanes, fit.scale);
      for (int i = 0; i < 16; ++i) l[i] = select(fit.zero_group, splat(0), round_clamped(fit.inverse * t[i], -4, 3) + 4.f);
    } else {
      store(scale + batch * kLanes, search_descent<16>(t, 4, l));
    }
    for (int i = 0; i < 16; ++i)
      for (int k = 0; k < kLanes; ++k) searched[(batch * kLanes + k) * 16 + i] = uint8_t(l[i][k]);
  }
}

TEENY_INLINE uint16_t q3_k_integers_by_max(const float* scale, int8_t* sc) {
  const float max = largest(scale, 16);
  if (max == 0) {
    memset(sc, -32, 16);  // all bytes of the scales are zero
    return 0;
  }
  const float inverse = -32.f / max;
  for (int j = 0; j < 16; ++j) {
    const int v = nearest_int(inverse * scale[j]);
    sc[j] = int8_t(v < -32 ? -32 : v > 31 ? 31 : v);
  }
  return to_half(1 / inverse);
}

template <>
struct Search<ShapeQ3_K> {
  struct State {};
  TEENY_INLINE static void group(const float* x, const float* importance, const Blocks& out, int64_t first, State&) {
    const int64_t blocks = out.rows * out.cols / 256;
    alignas(64) float scratch[kLanes * 256], scale[kLanes * 16], weight[kLanes * 16];
    uint8_t searched[kLanes * 256];
    const Group<256> g(x, importance, first, blocks, out.cols, scratch);
    search_q3_k(g, importance, scale, weight, searched);
    int8_t sc[kLanes * 16];
    uint16_t d[kLanes];
    if (importance) {
      V s[16], w[16];
      load_lanes<16>(scale, 16, s);
      load_lanes<16>(weight, 16, w);
      const ScaledFit fit = search_scaled<16>(s, w, 32);
      for (int b = 0; b < kLanes; ++b) {
        d[b] = to_half(fit.scale[b]);
        for (int j = 0; j < 16; ++j) {
          const V l = round_clamped(fit.inverse * s[j], -32, 31);
          sc[b * 16 + j] = fit.zero_group[b] ? int8_t(-32) : int8_t(l[b]);
        }
      }
    }
    for (int b = 0; b < g.count; ++b) {
      if (!importance) d[b] = q3_k_integers_by_max(scale + b * 16, sc + b * 16);
      const Slot s = slot<ShapeQ3_K>(out, first + b);
      *s.d = d[b];
      memcpy(s.sc, sc + b * 16, 16);
      scaled_codes<ShapeQ3_K>(g.x + b * 256, s, searched + b * 256);
    }
  }
};
