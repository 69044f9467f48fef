// Weights as the GPU's matrix units read them, and the product of a few tokens with them. m tokens, N rows, K columns.
//
// Layout. Rows are cut into tiles of 16, columns into halves of 64: a half of a tile is what a warp multiplies in four
// m16n8k16 steps. A half holds its codes as bit planes (4, 2, 1 or 8 bits of every code, or f16 values), each plane in
// the order in which the 32 lanes load it; 2 halves (4 for the super-block forms) and their scales make a unit. Tiles come
// in blocks of 8 (rows are padded to 128). In memory: block, unit, tile, then the halves' codes and the scales.
//   lane = 4 g + t holds rows g, g + 8 and, of step s (16 columns), columns 16 s + 2 t, + 1, + 8, + 9.
// Codes reach the matrix unit as f16 subnormals (code * 2^-24, exact), sums are f32, scales are applied to sums in f32.
#pragma once
#include <cstddef>
#include <cstdint>

#include "teeny/kernels/cuda.h"

namespace teeny::cuda {

enum class ScaleForm : int {
  None,      // bits 16: f16 values
  Row,       // one f32 scale a row, zero point 2^(bits-1)
  Half,      // f16 scale a group, zero point 2^(bits-1)
  HalfZero,  // f16 scale and integer zero point a group
  HalfMin,   // f16 scale and f16 minimum a group:  scale * q - min
  Super6,    // Q4_K, Q5_K: (d * sc) q - (dmin * mn), 6-bit sc and mn a group of 32; d, dmin f16 a block of 256
  SuperI8,   // Q6_K, Q3_K, IQ4_XS: (d * sc) (q - zero), int8 sc a group of 16
  SuperN4,   // Q2_K: (d * sc) q - (dmin * mn), 4-bit sc and mn a group of 16
};

struct PackedLayout {
  int bits = 4;        // 2 3 4 5 6 8 16
  int group = 128;     // Half forms: 16, 32, 64 or 128 columns share a scale
  ScaleForm form = ScaleForm::Half;
  int zero = 8;        // Row, Half, SuperI8: the code that stands for 0
  int64_t N = 0, K = 0;

  constexpr bool super() const { return form >= ScaleForm::Super6; }
  constexpr int unit_columns() const { return super() ? 256 : 128; }
  constexpr int64_t units() const { return (K + unit_columns() - 1) / unit_columns(); }
  constexpr int64_t padded_columns() const { return units() * unit_columns(); }
  constexpr int64_t tiles() const { return (N + 127) / 128 * 8; }
  constexpr int halves() const { return unit_columns() / 64; }
  constexpr int half_bytes() const { return bits * 128; }       // codes of a tile
  constexpr int code_bytes() const { return halves() * half_bytes(); }
  constexpr int scale_bytes() const {                                     // of a unit
    switch (form) {
      case ScaleForm::None:
      case ScaleForm::Row: return 0;
      case ScaleForm::Half: return 32 * (128 / group);
      case ScaleForm::HalfZero:
      case ScaleForm::HalfMin: return 64 * (128 / group);
      case ScaleForm::Super6: return 256;
      case ScaleForm::SuperI8: return 256 + 32;
      case ScaleForm::SuperN4: return 256 + 64;
    }
    return 0;
  }
  constexpr int unit_bytes() const { return code_bytes() + scale_bytes(); }
  constexpr size_t bytes() const { return size_t(tiles() * units()) * size_t(unit_bytes()); }
  bool same_format(const PackedLayout& o) const { return bits == o.bits && group == o.group && form == o.form && zero == o.zero && K == o.K; }
};

// A weight on the device, as kernels take it.
struct PackedView {
  PackedLayout layout;
  const uint8_t* data = nullptr;
  const float* row_scale = nullptr;  // Row: (N) f32
  float factor = 1;                  // every value times this (a power of two that brings scales into f16's range)
  float unit = 1;                    // packed_linear_large: large_unit() of the largest |scale| of a group
};
// Large products make weights out of codes that stand in a f16's mantissa, times 2^(raised_by - 24), and f16 scales.
constexpr int raised_by(int bits) { return bits == 4 ? 2 : bits == 6 ? 0 : 10 - bits; }
// The power of two that is left out of those scales.
constexpr float large_unit(int bits, float largest_scale) {
  float unit = 1;
  for (const float most = 65000.0f / float(1 << (24 - raised_by(bits))); largest_scale > most * unit; unit *= 2) {}
  return unit;
}

// Where codes and scales come from; device pointers, row-major; G = groups of a row, B = blocks of 256, S = groups of a block.
struct CodeSource {
  const uint8_t* codes = nullptr;    // (N, K)
  const void* values = nullptr;      // bits 16: (N, K) f16
  const float* scale = nullptr;      // Half forms: (N, G), already times 1 / factor
  const float* zero = nullptr;       // HalfZero: (N, G), integers
  const float* min = nullptr;        // HalfMin: (N, G)
  int64_t groups = 0;                // G
  int64_t source_group = 0;          // columns a scale of the source covers (a multiple of the layout's group)
  const uint16_t *d = nullptr, *dmin = nullptr;  // Super: (N, B) f16 bits
  const int8_t *sc = nullptr, *mn = nullptr;     // Super: (N, B * S)
  int source_subs = 0;               // S of the source: 8 or 16
};
// Rows `tile0 * 16 ..` of `out` get the N rows of the source: every `tile_stride`-th tile from tile0 on, so that two
// weights can be interleaved tile by tile. What is not written (padding) must be 0: clear `out` first.
void pack_weight(const PackedLayout& layout, const CodeSource& source, uint8_t* out, int64_t tile0, int64_t tile_stride, cudaStream_t stream);

enum class Store : int {
  Float,     // out: y
  Residual,  // out f32: out + y
  SiluPair,  // tiles alternate gate, up; out16: silu(gate) * up, N / 2 columns
  Half,      // out16: y; large products only
};
// What products read: f16 values of m tokens. For packed products they lie in panels of 64 columns, (K / 64, rows, 64), the
// 16-byte pieces of a row swizzled (piece p of token n at p ^ (n & 7)), so that a panel is one copy into shared memory.
// rows = 0: plain rows of `ld` values, for everything else.
struct Activations {
  void* data = nullptr;
  int64_t ld = 0;
  int rows = 0;
  // Those of a later token; `token` is a multiple of 8.
  Activations from(int64_t token) const { return {static_cast<char*>(data) + token * (rows > 0 ? 64 : ld) * 2, ld, rows}; }
  static constexpr size_t panel_bytes(int64_t padded_columns, int rows) { return size_t(padded_columns) * size_t(rows) * 2; }
};
// Rows that panels for m tokens have: whole token tiles of the kernel that multiplies them.
constexpr int panel_rows(int m) { return m <= 8 ? m : m <= 16 ? 16 : m <= 64 ? 64 : m <= 128 ? 128 : (m + 191) / 192 * 192; }
struct Cache {
  void* k = nullptr;              // (slots * capacity, kv * D) f16
  void* v = nullptr;
  int64_t capacity = 0;
};
// A cache whose slots' rows up to position[i] the device is to read ahead into L2: before an attention, by what comes before it.
struct CacheAhead {
  Cache cache;
  int64_t width = 0;              // kv * D
  const int32_t *position = nullptr, *slot = nullptr;
  int m = 0;                      // sequences; 0: nothing is read ahead
};
// An RMS norm without a kernel of its own, between products of one token or of more than kFewTokens. Its factor is one number for each token, so a
// product that stores Residual (`weight` is set: of the norm ahead) leaves h * weight / divisor as inputs, with a divisor that is 64 times the
// root mean square of the norm before, and the sums of squares of what it stored; the product that reads these inputs
// (`weight` is null) multiplies its sums by divisor times the norm's factor. That differs from the norm by rounding alone:
// inputs keep f16's precision, and 64 leaves room for h to grow 10^6-fold from one norm to the next.
// Rows of `squares` are square_pieces(H) long: of one token each piece is 16 columns, of several 128, and the rest is not looked at.
struct NormBetween {
  const float* squares = nullptr;  // (m, square_pieces(H)) sums of squares of h, at the norm before or of these inputs; null: no norm
  float* divisor = nullptr;        // (m), written or read
  float eps = 0;
  const float* weight = nullptr;   // (H)
  Activations x;                   // panels that get the inputs
  float* squares_out = nullptr;    // (m, square_pieces(H)); of one token the last ones 0
};
inline constexpr int kFewTokens = 8;      // up to which every device multiplies codes, and weights are not rounded to f16
inline constexpr int kMiddleTokens = 16;  // the same of devices with clusters of blocks (9.0 and above)
bool norms_between(int m);                // whether products of m tokens may do norms on the current device
constexpr int64_t square_pieces(int64_t H) { return (H + 63) / 64 * 4; }  // one of 16 columns of h, the rest 0

struct LinearCall {
  Activations x;                // panels with panel_rows(m) rows; columns K .. padded_columns() are 0
  int m = 1;                    // any; at most kMaxTokens a call
  const float* bias = nullptr;  // (N) or null
  Store store = Store::Float;
  float* out = nullptr;         // (m, ldo)
  int64_t ldo = 0;
  Activations out16;
  float* partial = nullptr;     // (kMaxPieces, m, N) f32 for sums of pieces of K; null: K is not split, which is slower (Hopper needs none)
  NormBetween norm = {};        // where norms_between(m)
  CacheAhead ahead = {};        // of up to kFewTokens; with more tokens nothing is read ahead
};
inline constexpr int kMaxTokens = 384, kMaxPieces = 16;

// y = x W^T (+ bias). One order of summation for a given m: the same call gives the same bits.
void packed_linear(const PackedView& weight, const LinearCall& call, cudaStream_t stream);

// The same for hundreds of tokens and more: any m, panels of large_panel_rows(m) rows, no partial sums, no norm. Where it
// does not exist (multiplies_large() is false), decode the weight with unpack_weight and multiply that.
void packed_linear_large(const PackedView& weight, const LinearCall& call, cudaStream_t stream);
bool multiplies_large(const PackedLayout& layout);
constexpr int large_panel_rows(int m) { return (m + 127) / 128 * 128; }
// Plain rows (m, K) to panels; K is a multiple of 8, rows are 16-byte aligned.
void to_panels(const void* rows, int64_t ld, int m, int64_t K, const Activations& out, cudaStream_t stream);

// out (rows, ld) f16: rows first .. first + rows of the weight, decoded, rounded once. first is a multiple of 16.
// tile_stride 2 takes every second tile (one of two interleaved weights), counted from tile0.
void unpack_weight(const PackedView& weight, int64_t first, int64_t rows, int64_t tile0, int64_t tile_stride, void* out, int64_t ld, cudaStream_t stream);

}  // namespace teeny::cuda
