// kLanes blocks at a time: transposed loads, importance weights, and writing the codes of a sub-block. Included once per
// instruction set (see common/lanes.h).

// A run of up to kLanes blocks of `block` weights. Missing blocks read as zeros and are never written.
template <int block>
struct Group {
  const float* x;          // kLanes blocks, contiguous
  const float* qw[kLanes]; // importance of each block's columns, or null
  int count;

  TEENY_INLINE Group(const float* all, const float* importance, int64_t first, int64_t blocks, int64_t cols, float* scratch) {
    const int64_t left = blocks - first;
    count = left < kLanes ? int(left) : kLanes;
    x = all + first * block;
    if (count < kLanes) {
      memcpy(scratch, x, size_t(count) * block * sizeof(float));
      memset(scratch + count * block, 0, size_t(kLanes - count) * block * sizeof(float));
      x = scratch;
    }
    for (int l = 0; l < kLanes; ++l) {
      const int64_t b = first + (l < count ? l : count - 1);
      qw[l] = importance ? importance + b * block % cols : nullptr;
    }
  }
};

// Sum of squares of each lane's n floats (lanes `stride` apart), added one after the other.
template <int n>
TEENY_INLINE V sum_squares(const float* x, int64_t stride, int64_t length) {
  V sum = splat(0);
  for (int64_t c = 0; c < length; c += n) {
    V t[n];
    load_lanes<n>(x + c, stride, t);
    for (int i = 0; i < n; ++i) sum += t[i] * t[i];
  }
  return sum;
}

// Weight of each element: importance * sqrt(sigma2 + x^2).
template <int n>
TEENY_INLINE void importance_weights(const float* const* rows, V sigma2, const V* x, V* w) {
  load_lanes<n>(rows, w);
  for (int i = 0; i < n; ++i) w[i] = w[i] * square_root(sigma2 + x[i] * x[i]);
}

// codes = zero + clamp(round((x + shift) / divisor)) of n contiguous weights.
template <int n>
TEENY_INLINE void codes_divided(const float* x, float shift, float divisor, float lo, float hi, int zero, uint8_t* q) {
  for (int i = 0; i < n; i += kLanes) {
    const V l = round_clamped((load(x + i) + shift) / divisor, lo, hi);
    store_bytes(q + i, to_ints(l) + zero);
  }
}
// codes = zero + clamp(round(inverse * (x - base))).
template <int n>
TEENY_INLINE void codes_scaled(const float* x, float base, float inverse, float lo, float hi, int zero, uint8_t* q) {
  for (int i = 0; i < n; i += kLanes) {
    const V l = round_clamped(inverse * (load(x + i) - base), lo, hi);
    store_bytes(q + i, to_ints(l) + zero);
  }
}
