// The shapes of the types; packing, unpacking and decoding of a block. Included once per instruction set (see common/lanes.h).

// What the generic code needs to know of a type at compile time.
template <class Block_, int block_, int sub_, int hi_, int zero_, bool min_>
struct TypeShape {
  using Block = Block_;
  static constexpr int block = block_, sub = sub_, subs = block_ / sub_, hi = hi_, zero = zero_;
  static constexpr bool min = min_;
};
using ShapeQ8_0 = TypeShape<BlockQ8_0, 32, 32, 255, 128, false>;
using ShapeQ4_0 = TypeShape<BlockQ4_0, 32, 32, 15, 8, false>;
using ShapeQ4_1 = TypeShape<BlockQ4_1, 32, 32, 15, 0, true>;
using ShapeQ5_0 = TypeShape<BlockQ5_0, 32, 32, 31, 16, false>;
using ShapeQ5_1 = TypeShape<BlockQ5_1, 32, 32, 31, 0, true>;
using ShapeQ2_K = TypeShape<BlockQ2_K, 256, 16, 3, 0, true>;
using ShapeQ3_K = TypeShape<BlockQ3_K, 256, 16, 7, 4, false>;
using ShapeQ4_K = TypeShape<BlockQ4_K, 256, 32, 15, 0, true>;
using ShapeQ5_K = TypeShape<BlockQ5_K, 256, 32, 31, 0, true>;
using ShapeQ6_K = TypeShape<BlockQ6_K, 256, 16, 63, 32, false>;
using ShapeIQ4_NL = TypeShape<BlockIQ4_NL, 32, 32, 15, 0, false>;
using ShapeIQ4_XS = TypeShape<BlockIQ4_XS, 256, 32, 15, 0, false>;

template <class Shape>
TEENY_INLINE Slot slot(const Blocks& all, int64_t b) {
  return {all.codes + b * Shape::block, all.d + b, all.m ? all.m + b : nullptr, all.sc ? all.sc + b * Shape::subs : nullptr,
          all.mn ? all.mn + b * Shape::subs : nullptr};
}

// Search<Shape>::group(x, importance, out, first, state): the codes and scales of blocks first .. first + kLanes (those that
// exist) of `out`; x and importance as of TypeKernels::quantize. State is kept from one group to the next.
template <class Shape>
struct Search;

template <class Shape>
TEENY_INLINE void pack_block(const Blocks& in, int64_t b, uint8_t* bytes) {
  typename Shape::Block block;
  put(slot<Shape>(in, b), block);
  memcpy(bytes + b * int64_t(sizeof block), &block, sizeof block);
}

template <class Shape>
TEENY_INLINE void unpack_block(const uint8_t* bytes, int64_t b, const Blocks& out) {
  typename Shape::Block block;
  memcpy(&block, bytes + b * int64_t(sizeof block), sizeof block);
  get(block, slot<Shape>(out, b));
}

// Values in the order of operations of gguf-py: (d * sc) * q - (dmin * mn); d * q + m for the 32-blocks with a minimum.
template <class Shape, bool table>
TEENY_INLINE void decode_block(const uint8_t* bytes, int64_t b, float* out) {
  typename Shape::Block block;
  memcpy(&block, bytes + b * int64_t(sizeof block), sizeof block);
  uint8_t q[Shape::block];
  uint16_t d = 0, m = 0;
  int8_t sc[16] = {1}, mn[16] = {-1};
  get(block, Slot{q, &d, &m, sc, mn});
  const float df = half_to_float(d), mf = half_to_float(m);
  for (int s = 0; s < Shape::subs; ++s) {
    const float scale = Shape::subs > 1 ? df * float(sc[s]) : df, min = mf * float(mn[s]);
    float* y = out + b * Shape::block + s * Shape::sub;
    const uint8_t* p = q + s * Shape::sub;
    for (int i = 0; i < Shape::sub; ++i) {
      const float level = table ? iq4_value(p[i] & 15) : float(int(p[i]) - Shape::zero);
      y[i] = Shape::min ? scale * level - min : scale * level;
    }
  }
}
