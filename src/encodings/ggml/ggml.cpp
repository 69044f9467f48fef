// GGML's block types as encodings. Part "weight": (N, K / block * bytes) uint8, the blocks exactly as GGUF stores them.
// Grid parts (opaque to methods): d, m (N, B) fp16 bits as int16; sc, mn (N, B * S) int8; see ggml/isa.h.
#include <ATen/Parallel.h>

#include "encodings/ggml/isa.h"
#include "encodings/registry.h"
#include "teeny/core/error.h"

namespace teeny {
namespace {

using ggml::Blocks;

// Owns what Blocks points to.
struct Storage {
  Tensor codes, d, m, sc, mn;

  Storage(const ggml::GgmlType& type, int64_t N, int64_t K) {
    const int64_t B = K / type.block, S = type.subs();
    codes = at::empty({N, K}, at::kByte);
    d = at::empty({N, B}, at::kShort);
    if (type.min) m = at::empty({N, B}, at::kShort);
    if (S > 1) sc = at::empty({N, B * S}, at::kChar);
    if (S > 1 && type.min) mn = at::empty({N, B * S}, at::kChar);
  }
  Storage(const Levels& levels, const Grid& grid) {
    codes = levels.q.to(at::kCPU).contiguous();
    for (const auto& [name, tensor] : grid.parts) {
      Tensor& mine = name == "d" ? d : name == "m" ? m : name == "sc" ? sc : mn;
      mine = tensor.to(at::kCPU).contiguous();
    }
  }
  // Rows begin..end. The tensors must be contiguous.
  Blocks rows(int64_t begin, int64_t end) const {
    const auto at_row = [&](const Tensor& t, auto* type) {
      using T = std::remove_pointer_t<decltype(type)>;
      return t.defined() ? static_cast<T*>(t.data_ptr()) + begin * t.size(1) : nullptr;
    };
    return {end - begin, codes.size(1), at_row(codes, (uint8_t*)nullptr), at_row(d, (uint16_t*)nullptr), at_row(m, (uint16_t*)nullptr),
            at_row(sc, (int8_t*)nullptr), at_row(mn, (int8_t*)nullptr)};
  }
};

Tensor half_bits_to_float(const Tensor& bits) { return bits.view(at::kHalf).to(at::kFloat); }

Grid make_grid(const ggml::GgmlType& type, const Storage& s) {
  Grid grid;
  grid.group = type.sub;
  grid.hi = type.hi;
  grid.scale = half_bits_to_float(s.d);
  grid.parts.emplace_back("d", s.d);
  if (type.min) {
    grid.min = half_bits_to_float(s.m);
    grid.parts.emplace_back("m", s.m);
  }
  if (type.subs() > 1) {
    grid.scale = grid.scale.repeat_interleave(type.subs(), 1).mul_(s.sc);
    grid.parts.emplace_back("sc", s.sc);
    if (type.min) {
      grid.min = grid.min.repeat_interleave(type.subs(), 1).mul_(s.mn);
      grid.parts.emplace_back("mn", s.mn);
    }
  } else if (type.min) {
    grid.min.neg_();
  }
  if (type.zero) grid.zero = at::full_like(grid.scale, type.zero);
  if (type.table) grid.table = at::from_blob(const_cast<float*>(type.table), {type.hi + 1}, at::kFloat).clone();
  return grid;
}

Grid to_device(Grid grid, at::Device device) {
  for (Tensor* t : {&grid.scale, &grid.zero, &grid.min, &grid.table})
    if (t->defined()) *t = t->to(device);
  for (auto& [name, tensor] : grid.parts) tensor = tensor.to(device);
  return grid;
}

class GgmlEncoding final : public Encoding {
 public:
  explicit GgmlEncoding(const EncodingSpec& spec) : Encoding(spec), type_(ggml::type_of(spec.dtype)), kernels_(ggml::kernels_of(spec.dtype)) {}

  int64_t block_cols(int64_t) const override { return type_.block; }

  Grid fit(const Tensor& w, const FitOptions& options) const override { return quantize(w, options).grid; }

  // llama-quantize's own search, byte for byte, with and without importance.
  Quantized quantize(const Tensor& w, const FitOptions& options) const override {
    const int64_t N = w.size(0), K = w.size(1);
    encoding_parts(spec(), N, K, "weight");  // throws when K does not fit
    const Tensor x = w.to(at::kCPU, at::kFloat).contiguous();
    Tensor importance;
    if (options.importance.defined()) {
      importance = options.importance.to(at::kCPU, at::kFloat).contiguous();
      TEENY_ASSERT(importance.numel() == K);
    }
    const Storage s(type_, N, K);
    const float* weights = importance.defined() ? importance.const_data_ptr<float>() : nullptr;
    at::parallel_for(0, N, grain(K), [&](int64_t begin, int64_t end) { kernels_.quantize(x.const_data_ptr<float>() + begin * K, weights, s.rows(begin, end)); });
    Quantized out{{s.codes}, make_grid(type_, s)};
    if (w.is_cpu()) return out;
    return {{out.levels.q.to(w.device())}, to_device(std::move(out.grid), w.device())};
  }

  QuantTensor pack(const Levels& levels, const Grid& grid) const override {
    const Storage s(levels, grid);
    const int64_t N = s.codes.size(0), K = s.codes.size(1), row_bytes = K / type_.block * type_.bytes;
    const Tensor bytes = at::empty({N, row_bytes}, at::kByte);
    at::parallel_for(0, N, grain(K), [&](int64_t begin, int64_t end) { kernels_.pack(s.rows(begin, end), bytes.mutable_data_ptr<uint8_t>() + begin * row_bytes); });
    return {spec(), N, K, {{"weight", bytes}}};
  }

  Quantized unpack(const QuantTensor& packed) const override {
    const Tensor bytes = packed.part("weight").to(at::kCPU).contiguous();
    const Storage s(type_, packed.N, packed.K);
    const int64_t row_bytes = bytes.size(1);
    at::parallel_for(0, packed.N, grain(packed.K), [&](int64_t begin, int64_t end) { kernels_.unpack(bytes.const_data_ptr<uint8_t>() + begin * row_bytes, s.rows(begin, end)); });
    return {{s.codes}, make_grid(type_, s)};
  }

  Tensor decode(const QuantTensor& packed) const override {
    const Tensor bytes = packed.part("weight").to(at::kCPU).contiguous();
    const Tensor out = at::empty({packed.N, packed.K}, at::kFloat);
    const int64_t K = packed.K, B = K / type_.block;
    at::parallel_for(0, packed.N, grain(K), [&](int64_t begin, int64_t end) {
      kernels_.decode(bytes.const_data_ptr<uint8_t>() + begin * B * type_.bytes, (end - begin) * B, out.mutable_data_ptr<float>() + begin * K);
    });
    return out.to(packed.part("weight").device());
  }

 private:
  static int64_t grain(int64_t K) { return std::max<int64_t>(1, 65536 / K); }  // rows a task

  const ggml::GgmlType& type_;
  const ggml::TypeKernels& kernels_;
};

}  // namespace

std::shared_ptr<const Encoding> make_ggml(const EncodingSpec& spec) {
  for (const auto& type : ggml::all_types())
    if (type.dtype == spec.dtype) return std::make_shared<GgmlEncoding>(spec);
  return nullptr;
}

std::vector<EncodingSpec> ggml_examples() {
  std::vector<EncodingSpec> specs;
  for (const auto& type : ggml::all_types()) {
    EncodingSpec spec;
    spec.kind = EncodingKind::Ggml, spec.dtype = type.dtype;
    specs.push_back(spec);
  }
  return specs;
}

}  // namespace teeny
