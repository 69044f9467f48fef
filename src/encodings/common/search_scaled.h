// Searches for one scale per sub-block without a minimum, and for the integers that hold the scales of a super-block
// (docs: formats, 7.1 and 7.2). Included once per instruction set (see common/lanes.h).

constexpr float kZeroGroup = 1e-15f;  // a group whose largest magnitude is below this is stored as zeros

// x ~ scale * (code - zero), code = zero + clamp(round(inverse * x)); inverse 0 and zero_group: all codes 0.
struct ScaledFit {
  V scale, inverse;
  I zero_group;
};

// The first element of the largest magnitude, with its sign.
template <int n>
TEENY_INLINE V signed_max(const V* x, V& amax) {
  V max = splat(0);
  amax = splat(0);
  for (int i = 0; i < n; ++i) {
    const V a = absolute(x[i]);
    const I larger = a > amax;
    amax = select(larger, a, amax);
    max = select(larger, x[i], max);
  }
  return max;
}

// 19 inverse scales -(hi + 0.1 t) / max, codes -hi..hi-1, the best weighted least squares scale.
template <int n>
TEENY_INLINE ScaledFit search_scaled(const V* x, const V* w, int hi) {
  V amax;
  const V max = signed_max<n>(x, amax);
  const float lo = float(-hi), top = float(hi - 1);
  ScaledFit fit{splat(0), splat(lo) / max, amax < kZeroGroup};
  V wx[n];
  for (int i = 0; i < n; ++i) wx[i] = w[i] * x[i];
  V best = splat(0);
  for (int t = -10; t <= 9; ++t) {  // -10 stands for the undisturbed first try
    if (t == 0) continue;
    const V inverse = t == -10 ? fit.inverse : splat(-(float(hi) + 0.1f * float(t))) / max;
    V sum_lx = splat(0), sum_l2 = splat(0);
    for (int i = 0; i < n; ++i) {
      const V l = round_clamped(inverse * x[i], lo, top);
      sum_lx += wx[i] * l;
      sum_l2 += w[i] * l * l;
    }
    if (t == -10) {
      fit.scale = select(sum_l2 != 0.f, sum_lx / sum_l2, splat(0));
      best = fit.scale * sum_lx;
      continue;
    }
    const I better = (sum_l2 > 0.f) & (sum_lx * sum_lx > best * sum_l2);
    fit.scale = select(better, sum_lx / sum_l2, fit.scale);
    best = select(better, fit.scale * sum_lx, best);
    fit.inverse = select(better, inverse, fit.inverse);
  }
  fit.scale = select(fit.zero_group, splat(0), fit.scale);
  fit.inverse = select(fit.zero_group, splat(0), fit.inverse);
  return fit;
}

// One pass of coordinate descent over integers l in lo..hi that maximises (sum w x l)^2 / sum w l^2.
template <int n>
TEENY_INLINE bool descend(const V* x, const V* w, const V* wx, V* l, V& sum_lx, V& sum_l2, float lo, float hi, bool need_l2) {
  I changed{};
  for (int i = 0; i < n; ++i) {
    V lx = sum_lx - wx[i] * l[i], l2 = sum_l2 - w[i] * l[i] * l[i];
    I take = lx > 0.f;
    if (need_l2) take &= l2 > 0.f;
    const V next = round_wrapped(x[i] * l2 / lx, lo, hi);
    take &= next != l[i];
    lx += wx[i] * next;
    l2 += w[i] * next * next;
    if (!need_l2) take &= l2 > 0.f;
    take &= lx * lx * sum_l2 > sum_lx * sum_lx * l2;
    l[i] = select(take, next, l[i]);
    sum_lx = select(take, lx, sum_lx);
    sum_l2 = select(take, l2, sum_l2);
    changed |= take;
  }
  return any(changed);
}

// Codes -hi..hi-1 by descent from the signed maximum, weights x^2; codes come back in l shifted to 0.., zero groups as 0.
template <int n>
TEENY_INLINE V search_descent(const V* x, int hi, V* l) {
  V amax, w[n], wx[n];
  const V max = signed_max<n>(x, amax);
  const V inverse = splat(float(-hi)) / max;
  V sum_lx = splat(0), sum_l2 = splat(0);
  for (int i = 0; i < n; ++i) {
    w[i] = x[i] * x[i];
    wx[i] = w[i] * x[i];
    l[i] = round_clamped(inverse * x[i], float(-hi), float(hi - 1));
    sum_lx += wx[i] * l[i];
    sum_l2 += w[i] * l[i] * l[i];
  }
  for (int pass = 0; pass < 5; ++pass)
    if (!descend<n>(x, w, wx, l, sum_lx, sum_l2, float(-hi), float(hi - 1), false)) break;
  const I zero = amax < kZeroGroup;
  for (int i = 0; i < n; ++i) l[i] = select(zero, splat(0), l[i] + float(hi));
  return select(zero | ~(sum_l2 > 0.f), splat(0), sum_lx / sum_l2);
}

// Non-negative x (sub-block scales or minima) as scale * l, l in 0..hi: 9 candidates, then descent. l comes back.
template <int n>
TEENY_INLINE V search_unsigned(const V* x, const V* w, int hi, V* l) {
  const float top = float(hi), lowest = -4194304.f;
  V max = splat(0), wx[n];
  for (int i = 0; i < n; ++i) max = select(max > x[i], max, x[i]), wx[i] = w[i] * x[i];
  V inverse = top / max, best = splat(0);
  for (int t = -5; t <= 4; ++t) {  // -5 stands for the undisturbed first try
    if (t == 0) continue;
    const V candidate = t == -5 ? inverse : (0.1f * float(t) + top) / max;
    const V scale = 1.f / candidate;
    V error = splat(0);
    for (int i = 0; i < n; ++i) {
      const V diff = x[i] - scale * round_wrapped(candidate * x[i], lowest, top);
      error += w[i] * diff * diff;
    }
    const I better = t == -5 ? ~I{} : error < best;
    best = select(better, error, best);
    inverse = select(better, candidate, inverse);
  }
  V sum_lx = splat(0), sum_l2 = splat(0);
  for (int i = 0; i < n; ++i) {
    l[i] = round_wrapped(inverse * x[i], lowest, top);
    sum_lx += wx[i] * l[i];
    sum_l2 += w[i] * l[i] * l[i];
  }
  for (int pass = 0; pass < 5; ++pass)
    if (!descend<n>(x, w, wx, l, sum_lx, sum_l2, lowest, top, true)) break;
  const I zero = max < kZeroGroup;
  for (int i = 0; i < n; ++i) l[i] = select(zero, splat(0), round_clamped(l[i], 0, top));
  return select(zero | ~(sum_l2 > 0.f), splat(0), sum_lx / sum_l2);
}
