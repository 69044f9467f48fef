// lanes.h for a GPU: one lane a thread, the same operations with the same meaning (a comparison gives -1 or 0, a cast
// between V and I keeps the bits). Single operations are spelled out as correctly rounded ones, so nothing is contracted;
// what is written in plain floats around them needs --fmad=false. Included inside a namespace: no guard, no includes.
constexpr int kLanes = 1;
#define TEENY_INLINE __device__ __forceinline__

struct V;
struct I {
  int32_t v;
  __device__ int32_t& operator[](int) { return v; }
  __device__ int32_t operator[](int) const { return v; }
  __device__ explicit operator bool() const { return v != 0; }
  __device__ explicit operator V() const;
};
struct V {
  float v;
  __device__ float& operator[](int) { return v; }
  __device__ float operator[](int) const { return v; }
  __device__ explicit operator I() const { return {__float_as_int(v)}; }
};
__device__ inline I::operator V() const { return {__int_as_float(v)}; }

TEENY_INLINE V splat(float x) { return {x}; }

// V with V, V with a number on either side.
#define TEENY_OPERATION(name, function)                                            \
  TEENY_INLINE V operator name(V a, V b) { return {function(a.v, b.v)}; }          \
  TEENY_INLINE V operator name(V a, float b) { return {function(a.v, b)}; }        \
  TEENY_INLINE V operator name(float a, V b) { return {function(a, b.v)}; }
TEENY_OPERATION(+, __fadd_rn)
TEENY_OPERATION(-, __fsub_rn)
TEENY_OPERATION(*, __fmul_rn)
TEENY_OPERATION(/, __fdiv_rn)
#undef TEENY_OPERATION
TEENY_INLINE V operator-(V a) { return {-a.v}; }
TEENY_INLINE V& operator+=(V& a, V b) { return a = a + b; }

#define TEENY_COMPARISON(name)                                              \
  TEENY_INLINE I operator name(V a, V b) { return {a.v name b.v ? -1 : 0}; } \
  TEENY_INLINE I operator name(V a, float b) { return {a.v name b ? -1 : 0}; }
TEENY_COMPARISON(<)
TEENY_COMPARISON(>)
TEENY_COMPARISON(<=)
TEENY_COMPARISON(>=)
TEENY_COMPARISON(==)
TEENY_COMPARISON(!=)
#undef TEENY_COMPARISON

TEENY_INLINE I operator~(I a) { return {~a.v}; }
TEENY_INLINE I operator&(I a, I b) { return {a.v & b.v}; }
TEENY_INLINE I operator&(I a, int32_t b) { return {a.v & b}; }
TEENY_INLINE I operator|(I a, I b) { return {a.v | b.v}; }
TEENY_INLINE I operator+(I a, I b) { return {a.v + b.v}; }
TEENY_INLINE I operator+(I a, int32_t b) { return {a.v + b}; }
TEENY_INLINE I operator-(I a, I b) { return {a.v - b.v}; }
TEENY_INLINE I operator-(I a, int32_t b) { return {a.v - b}; }
TEENY_INLINE I operator>(I a, I b) { return {a.v > b.v ? -1 : 0}; }
TEENY_INLINE I& operator&=(I& a, I b) { return a = a & b; }
TEENY_INLINE I& operator|=(I& a, I b) { return a = a | b; }
TEENY_INLINE I& operator-=(I& a, I b) { return a = a - b; }

TEENY_INLINE V select(I mask, V a, V b) { return mask.v ? a : b; }
TEENY_INLINE V absolute(V v) { return {__int_as_float(__float_as_int(v.v) & 0x7fffffff)}; }
TEENY_INLINE V load(const float* p) { return {*p}; }
TEENY_INLINE void store(float* p, V v) { *p = v.v; }
TEENY_INLINE bool any(I mask) { return mask.v != 0; }
TEENY_INLINE I to_ints(V v) { return {__float2int_rz(v.v)}; }
TEENY_INLINE V to_floats(I v) { return {__int2float_rn(v.v)}; }
TEENY_INLINE void store_bytes(uint8_t* p, I v) { *p = uint8_t(v.v); }
template <class T>
TEENY_INLINE T swapped(T v, int) { return v; }
TEENY_INLINE V square_root(V v) { return {__fsqrt_rn(v.v)}; }

TEENY_INLINE V round_clamped(V v, float lo, float hi) {
  v = select(v > lo, v, splat(lo));
  v = select(v < hi, v, splat(hi));
  return (v + 12582912.f) - 12582912.f;
}
// A NaN of the CPU has no bits but the highest of its fraction, which gives 0 here; this one's are all set.
TEENY_INLINE int nearest_int(float v) { return isnan(v) ? 0 : (__float_as_int(__fadd_rn(v, 12582912.f)) & 0x7fffff) - 0x400000; }
TEENY_INLINE V round_wrapped(V v, float lo, float hi) {
  v = splat(__int2float_rn(nearest_int(v.v)));
  v = select(v > lo, v, splat(lo));
  return select(v < hi, v, splat(hi));
}

template <int n>
TEENY_INLINE void load_lanes(const float* x, int, V* out) {
#pragma unroll
  for (int i = 0; i < n; ++i) out[i] = load(x + i);
}
template <int n>
TEENY_INLINE void load_lanes(const float* const* rows, V* out) {
#pragma unroll
  for (int i = 0; i < n; ++i) out[i] = load(rows[0] + i);
}
