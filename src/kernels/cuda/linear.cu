// Packed linears: the choice of format, packing, and the sum of pieces of K.
#include <algorithm>
#include <array>

#include "kernels/cuda/linear.h"
#include "kernels/cuda/linear_unpack.cuh"

namespace teeny::cuda {
namespace {

const FormatKernels& kernels_of(const PackedLayout& l) {
  static const std::array all{format_2(), format_2_super(), format_3(),     format_3_super(), format_4(), format_4_super(), format_4_min(),
                              format_5(), format_5_super(), format_5_min(), format_6_super(), format_8(), format_8_super(), format_16()};
  for (const auto& k : all)
    if (k.bits == l.bits && k.form == (l.form >= ScaleForm::HalfMin ? l.form : ScaleForm::Half)) return k;
  refuse("no packed kernel for these bits and scales");
}

struct PackCall {
  PackedLayout layout;
  CodeSource source;
  uint8_t* out;
  int64_t tile0, tile_stride, tiles;
};

__device__ uint32_t code_at(const PackCall& c, int64_t row, int64_t column) {
  return row < c.layout.N && column < c.layout.K ? c.source.codes[row * c.layout.K + column] : uint32_t(c.layout.zero);
}
__device__ uint32_t value_at(const PackCall& c, int64_t row, int64_t column) {
  return row < c.layout.N && column < c.layout.K ? static_cast<const uint16_t*>(c.source.values)[row * c.layout.K + column] : 0;
}

// A thread makes the words of one lane of one half.
__global__ void pack_codes(const PackCall c) {
  const auto& l = c.layout;
  const int64_t thread = int64_t(blockIdx.x) * blockDim.x + threadIdx.x, half = thread >> 5;
  const int lane = int(thread & 31), halves = l.unit_columns() / 64;
  const int64_t all_halves = l.units() * halves, tile = half / all_halves, in_tile = half % all_halves;
  if (tile >= c.tiles) return;
  const int64_t unit = in_tile / halves, column0 = in_tile * 64 + 2 * (lane & 3);
  const int64_t to = c.tile0 + tile * c.tile_stride;
  uint8_t* out = c.out + ((to / 8 * l.units() + unit) * 8 + to % 8) * l.unit_bytes() + in_tile % halves * l.half_bytes();
  const auto row_of = [&](int i) { return tile * 16 + (lane >> 2) + 8 * (i & 1); };
  const auto column_of = [&](int s, int i, int e) { return column0 + 16 * s + 8 * (i >> 1) + e; };
  if (l.bits == 16) {
    for (int s = 0; s < 4; ++s)
      for (int i = 0; i < 4; ++i)
        reinterpret_cast<uint32_t*>(out + s * 512 + lane * 16)[i] = value_at(c, row_of(i), column_of(s, i, 0)) | value_at(c, row_of(i), column_of(s, i, 1)) << 16;
    return;
  }
  if (l.bits == 8) {
    for (int s = 0; s < 4; ++s)
      for (int pair = 0; pair < 2; ++pair) {
        uint32_t word = 0;
        for (int b = 0; b < 4; ++b) word |= code_at(c, row_of(b >> 1), column_of(s, 2 * pair + (b >> 1), b & 1)) << (8 * b);
        reinterpret_cast<uint32_t*>(out + (s >> 1) * 512 + lane * 16)[2 * (s & 1) + pair] = word;
      }
    return;
  }
  uint32_t four[4] = {}, two[2] = {}, one = 0;
  for (int s = 0; s < 4; ++s)
    for (int i = 0; i < 4; ++i)
      for (int e = 0; e < 2; ++e) {
        const uint32_t code = code_at(c, row_of(i), column_of(s, i, e));
        const bool has_four = l.bits >= 4;
        const uint32_t low2 = has_four ? code >> 4 : code, low1 = has_four ? code >> 4 : code >> 2;
        four[s] |= (code & 15) << (4 * i + 16 * e);
        two[s >> 1] |= (low2 & 3) << (2 * (4 * (s & 1) + i) + 16 * e);
        one |= (low1 & 1) << (4 * s + i + 16 * e);
      }
  if (l.bits == 4 || l.bits == 5 || l.bits == 6) {
    for (int s = 0; s < 4; ++s) reinterpret_cast<uint32_t*>(out + lane * 16)[s] = four[s];
    out += 512;
  }
  if (l.bits == 2 || l.bits == 3 || l.bits == 6) {
    for (int s = 0; s < 2; ++s) reinterpret_cast<uint32_t*>(out + lane * 8)[s] = two[s];
    out += 256;
  }
  if (l.bits == 3 || l.bits == 5) reinterpret_cast<uint32_t*>(out)[lane] = one;
}

// A thread makes the scales of one row of one unit.
__global__ void pack_scales(const PackCall c) {
  const auto& l = c.layout;
  const auto& s = c.source;
  const int64_t thread = int64_t(blockIdx.x) * blockDim.x + threadIdx.x, unit_index = thread >> 4;
  const int r = int(thread & 15);
  const int64_t tile = unit_index / l.units(), unit = unit_index % l.units(), row = tile * 16 + r;
  if (tile >= c.tiles) return;
  const int64_t to = c.tile0 + tile * c.tile_stride;
  uint8_t* out = c.out + ((to / 8 * l.units() + unit) * 8 + to % 8) * l.unit_bytes() + l.code_bytes();
  const bool real = row < l.N;
  if (!l.super()) {
    const int groups = 128 / l.group;
    for (int g = 0; g < groups; ++g) {
      const int64_t column = unit * 128 + g * l.group, from = row * s.groups + column / s.source_group;
      const bool inside = real && column < l.K;
      auto* at = reinterpret_cast<uint16_t*>(out) + g * 16 + r;
      at[0] = inside ? __half_as_ushort(__float2half_rn(s.scale[from])) : 0;
      if (l.form == ScaleForm::HalfZero) at[16 * groups] = inside ? static_cast<uint16_t>(s.zero[from]) : 0;
      if (l.form == ScaleForm::HalfMin) at[16 * groups] = inside ? __half_as_ushort(__float2half_rn(s.min[from])) : 0;
    }
    return;
  }
  const int64_t blocks = (l.K + 255) / 256;
  const auto sub = [&](const int8_t* from, int i) { return real ? int(from[(row * blocks + unit) * s.source_subs + i * s.source_subs / 16]) : 0; };  // i: of 16
  const uint16_t d = real ? s.d[row * blocks + unit] : 0, dmin = real && s.dmin ? s.dmin[row * blocks + unit] : 0;
  if (l.form == ScaleForm::Super6) {
    uint32_t w[4] = {0, 0, 0, uint32_t(d) | uint32_t(dmin) << 16};
    for (int j = 0; j < 4; ++j) {
      const uint32_t sc = uint32_t(sub(s.sc, 2 * j)), mn = uint32_t(sub(s.mn, 2 * j)), sc4 = uint32_t(sub(s.sc, 2 * j + 8)), mn4 = uint32_t(sub(s.mn, 2 * j + 8));
      w[0] |= (sc | (sc4 >> 4) << 6) << (8 * j);
      w[1] |= (mn | (mn4 >> 4) << 6) << (8 * j);
      w[2] |= ((sc4 & 15) | (mn4 & 15) << 4) << (8 * j);
    }
    for (int i = 0; i < 4; ++i) reinterpret_cast<uint32_t*>(out)[r * 4 + i] = w[i];
    return;
  }
  const bool nibbles = l.form == ScaleForm::SuperN4;
  for (int i = 0; i < 16; ++i) out[r * 16 + i] = uint8_t(nibbles ? sub(s.sc, i) | sub(s.mn, i) << 4 : sub(s.sc, i) + 128);
  if (nibbles) reinterpret_cast<uint32_t*>(out + 256)[r] = uint32_t(d) | uint32_t(dmin) << 16;
  else reinterpret_cast<uint16_t*>(out + 256)[r] = d;
}

__global__ void __launch_bounds__(256) sum_pieces(const PackedView w, const LinearCall c, const int pieces, const float unit) {
  dependency_release();
  dependency_wait();
  const int64_t N = w.layout.N, columns = c.store == Store::SiluPair ? N / 2 : N;
  const int64_t column = int64_t(blockIdx.x) * blockDim.x + threadIdx.x, n = blockIdx.y;
  if (column >= columns) return;
  const auto total = [&](int64_t row) {
    float sum = 0;
    for (int p = 0; p < pieces; ++p) sum += __ldcg(c.partial + (int64_t(p) * c.m + n) * N + row);
    return finished(w, c, row, sum, unit);
  };
  if (c.store == Store::SiluPair) {
    const int64_t gate = column / 16 * 32 + column % 16;
    store_pair(c, int(n), column, total(gate), total(gate + 16));
  } else {
    store_one(c, int(n), column, total(column));
  }
}

// A thread copies a piece of 8 values. K is a multiple of 8, rows are 16-byte aligned.
__global__ void panels_kernel(const __half* rows, const int64_t ld, const int64_t K, const Activations out) {
  dependency_release();
  dependency_wait();
  const int64_t column = 8 * (int64_t(blockIdx.x) * blockDim.x + threadIdx.x);
  if (column >= K) return;
  *reinterpret_cast<uint4*>(static_cast<__half*>(out.data) + activation_at(out, int(blockIdx.y), column)) = *reinterpret_cast<const uint4*>(rows + blockIdx.y * ld + column);
}

}  // namespace

int multiprocessors() {
  static const int count = [] {
    int device = 0, sms = 0;
    TEENY_CUDA(cudaGetDevice(&device));
    TEENY_CUDA(cudaDeviceGetAttribute(&sms, cudaDevAttrMultiProcessorCount, device));
    return sms;
  }();
  return count;
}

int shared_limit() {
  static const int bytes = [] {
    int device = 0, most = 0;
    TEENY_CUDA(cudaGetDevice(&device));
    TEENY_CUDA(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device));
    return most - (2 << 10);
  }();
  return bytes;
}

int shared_of_multiprocessor() {
  static const int bytes = [] {
    int device = 0, all = 0;
    TEENY_CUDA(cudaGetDevice(&device));
    TEENY_CUDA(cudaDeviceGetAttribute(&all, cudaDevAttrMaxSharedMemoryPerMultiprocessor, device));
    return all;
  }();
  return bytes;
}

static int compute_capability() {
  static const int major = [] {
    int device = 0, value = 0;
    TEENY_CUDA(cudaGetDevice(&device));
    TEENY_CUDA(cudaDeviceGetAttribute(&value, cudaDevAttrComputeCapabilityMajor, device));
    return value;
  }();
  return major;
}
bool has_wgmma() { return compute_capability() == 9; }
bool has_clusters() { return compute_capability() >= 9; }

int pieces_of_k(int blocks, int wanted, int units, bool may_split) {
  return may_split ? std::clamp(wanted / std::max(blocks, 1), 1, std::clamp(units / 4, 1, kMaxPieces)) : 1;
}

int large_parts(int tiles, int most) {
  const int rest = tiles % most;
  return rest == 0 ? 1 : 4 * rest <= most ? 4 : 2 * rest <= most ? 2 : 1;
}

int middle_stages(int stage, int resident, int beside) {
  for (; resident > 1; --resident)
    if (const int stages = (shared_limit() / resident - beside) / stage; stages >= 3) return std::min(stages, kMiddleStages);
  return std::clamp((shared_limit() - beside) / stage, 1, 3);
}

int middle_pieces(int bits, int row_blocks, int units, const int (&clusters)[kMiddlePieces]) {
  const int most = std::min(units, kMiddlePieces);
  int pieces = 1;  // as many as run at once
  for (int i = 2; i <= most; ++i)
    if (row_blocks <= clusters[i - 1]) pieces = i;
  // Where they would leave much of the device idle, a second round costs less, a full one where memory is the bound. (216 row blocks of
  // 5,120 columns, H200: 1, 2, 3 pieces of 4 bits 33.1, 28.3, 30.3 us; 2, 3 of 8 bits 47.3, 39.8 us.)
  if (5 * row_blocks * pieces < 3 * clusters[0]) pieces = std::min(most, pieces + (bits < 8 ? 1 : 2));
  return pieces;
}

void add_pieces(const PackedView& w, const LinearCall& c, int pieces, float unit, cudaStream_t stream) {
  const int64_t columns = c.store == Store::SiluPair ? w.layout.N / 2 : w.layout.N;
  launch(sum_pieces, {dim3(unsigned((columns + 255) / 256), unsigned(c.m)), dim3(256), 0, stream, true}, w, c, pieces, unit);
}

void pack_weight(const PackedLayout& layout, const CodeSource& source, uint8_t* out, int64_t tile0, int64_t tile_stride, cudaStream_t stream) {
  kernels_of(layout);
  if (layout.form >= ScaleForm::Half && !layout.super() && layout.group != 16 && layout.group != 32 && layout.group != 64 && layout.group != 128) refuse("group size has no kernel");
  const int64_t tiles = (layout.N + 15) / 16;
  const PackCall call{layout, source, out, tile0, tile_stride, tiles};
  const int64_t lanes = tiles * layout.padded_columns() / 64 * 32, rows = tiles * layout.units() * 16;
  launch(pack_codes, {dim3(unsigned((lanes + 255) / 256)), dim3(256), 0, stream, false}, call);
  if (layout.scale_bytes() > 0) launch(pack_scales, {dim3(unsigned((rows + 255) / 256)), dim3(256), 0, stream, false}, call);
}

void packed_linear(const PackedView& weight, const LinearCall& call, cudaStream_t stream) {
  if (call.m < 1 || call.m > kMaxTokens) refuse("tokens of a packed product out of range");
  if (call.store == Store::Half) refuse("only large products store f16");
  if (call.norm.squares && !norms_between(call.m)) refuse("tokens of a product with a norm out of range");
  kernels_of(weight.layout).run(weight, call, stream);
}

bool norms_between(int m) { return m == 1 || (m > kFewTokens && (m <= kMiddleTokens ? has_clusters() : has_wgmma())); }

bool multiplies_large(const PackedLayout& layout) { return has_wgmma() && kernels_of(layout).large; }

void packed_linear_large(const PackedView& weight, const LinearCall& call, cudaStream_t stream) {
  if (call.m < 1 || !multiplies_large(weight.layout) || call.norm.squares) refuse("no large product of these tokens and this weight");
  kernels_of(weight.layout).large(weight, call, stream);
}

void to_panels(const void* rows, int64_t ld, int m, int64_t K, const Activations& out, cudaStream_t stream) {
  in_grids(m, [&](int64_t first, int64_t count) {
    launch(panels_kernel, {dim3(unsigned((K / 8 + 255) / 256), unsigned(count)), dim3(256), 0, stream, true}, static_cast<const __half*>(rows) + first * ld, ld, K, out.from(first));
  });
}

void unpack_weight(const PackedView& weight, int64_t first, int64_t rows, int64_t tile0, int64_t tile_stride, void* out, int64_t ld, cudaStream_t stream) {
  kernels_of(weight.layout).unpack(weight, {first / 16, (rows + 15) / 16, tile0, tile_stride, rows, static_cast<__half*>(out), ld}, stream);
}

}  // namespace teeny::cuda
