// Scale and minimum of a sub-block by weighted least squares over shrunk ranges (docs: formats, 7.1 helper A and 7.2).
// Included once per instruction set (see common/lanes.h).

// x ~ scale * l - min with l = clamp(round(inverse * (x - base))): inverse and base say which codes won.
struct AffineFit {
  V scale, min, inverse, base;
};
struct AffineSearch {
  float first, step;  // offsets tried on the number of levels: first + step * t, t = 0..steps
  int steps;
  bool absolute_error;  // otherwise squared
};

template <int n>
TEENY_INLINE V affine_error(const V* x, const V* w, const V* l, V scale, V min, bool absolute_error) {
  V error = splat(0);
  for (int i = 0; i < n; ++i) {
    const V diff = scale * l[i] + min - x[i];
    error += w[i] * (absolute_error ? absolute(diff) : diff * diff);
  }
  return error;
}

struct AffineSums {
  V w, x, l, l2, xl;  // sums of w, w x, w l, w l l, w l x
};

// The weighted least squares line through (l, x), kept at min <= 0; `valid` where the codes are not all alike.
TEENY_INLINE void solve_affine(const AffineSums& s, V& scale, V& min, I& valid) {
  const V det = s.w * s.l2 - s.l * s.l;
  valid = det > 0.f;
  scale = (s.w * s.xl - s.x * s.l) / det;
  min = (s.l2 * s.x - s.l * s.xl) / det;
  const I positive = min > 0.f;
  min = select(positive, splat(0), min);
  scale = select(positive, s.xl / s.l2, scale);
}

template <int n>
TEENY_INLINE AffineFit search_affine(const V* x, const V* w, int hi, AffineSearch search) {
  V min = x[0], max = x[0];
  AffineSums sums;
  sums.w = w[0], sums.x = w[0] * x[0];
  for (int i = 1; i < n; ++i) {
    min = select(x[i] < min, x[i], min);
    max = select(x[i] > max, x[i], max);
    sums.w += w[i];
    sums.x += w[i] * x[i];
  }
  min = select(min > 0.f, splat(0), min);
  const I flat = ~(max > min);
  const V flat_min = min;

  V l[n];
  AffineFit best{splat(0), min, float(hi) / (max - min), min};
  best.scale = 1.f / best.inverse;
  for (int i = 0; i < n; ++i) l[i] = round_clamped(best.inverse * (x[i] - min), 0, float(hi));
  V best_error = affine_error<n>(x, w, l, best.scale, min, search.absolute_error);

  for (int t = 0; t <= search.steps; ++t) {
    const V inverse = (search.first + search.step * float(t) + float(hi)) / (max - min);
    sums.l = sums.l2 = sums.xl = splat(0);
    for (int i = 0; i < n; ++i) {
      l[i] = round_clamped(inverse * (x[i] - min), 0, float(hi));
      const V wl = w[i] * l[i];
      sums.l += wl;
      sums.l2 += wl * l[i];
      sums.xl += wl * x[i];
    }
    V scale, next_min;
    I better;
    solve_affine(sums, scale, next_min, better);
    const V error = affine_error<n>(x, w, l, scale, next_min, search.absolute_error);
    better &= error < best_error;
    best_error = select(better, error, best_error);
    best.scale = select(better, scale, best.scale);
    best.inverse = select(better, inverse, best.inverse);
    best.base = select(better, min, best.base);
    min = select(better, next_min, min);  // later steps start from the best minimum so far
  }
  best.min = -select(flat, flat_min, min);
  best.scale = select(flat, splat(0), best.scale);
  best.inverse = select(flat, splat(0), best.inverse);
  best.base = select(flat, splat(0), best.base);
  return best;
}
