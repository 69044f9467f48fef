// GGML's block types as encodings. Part "weight": (N, K / block * bytes) uint8, the blocks exactly as GGUF stores them.
// Grid parts (opaque to methods): d, m (N, B) fp16 bits as int16; sc, mn (N, B * S) int8; see ggml/isa.h.
#include <ATen/Parallel.h>

#include "encodings/ggml/cuda.h"
#include "encodings/registry.h"
#include "teeny/core/error.h"

namespace teeny {
namespace {

using ggml::Blocks;

// Owns what Blocks points to.
struct Storage {
  Tensor codes, d, m, sc, mn;

  Storage(const ggml::GgmlType& type, int64_t N, int64_t K, at::Device device) {
    const int64_t B = K / type.block, S = type.subs();
    const auto make = [&](int64_t columns, at::ScalarType dtype) { return at::empty({N, columns}, at::TensorOptions(dtype).device(device)); };
    codes = make(K, at::kByte);
    d = make(B, at::kShort);
    if (type.min) m = make(B, at::kShort);
    if (S > 1) sc = make(B * S, at::kChar);
    if (S > 1 && type.min) mn = make(B * S, at::kChar);
  }
  Storage(const Levels& levels, const Grid& grid, at::Device device) {
    codes = levels.q.to(device).contiguous();
    for (const auto& [name, tensor] : grid.parts) {
      Tensor& mine = name == "d" ? d : name == "m" ? m : name == "sc" ? sc : mn;
      mine = tensor.to(device).contiguous();
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
  if (type.table) grid.table = at::from_blob(const_cast<float*>(type.table), {type.hi + 1}, at::kFloat).clone().to(s.codes.device());
  return grid;
}

// libtorch's work is on the default stream, and so is ours. A thread has a current device of its own.
cudaStream_t stream_of(const Tensor& t) {
  cuda::set_device(t.device().index());
  return nullptr;
}

class GgmlEncoding final : public Encoding {
 public:
  explicit GgmlEncoding(const EncodingSpec& spec) : Encoding(spec), type_(ggml::type_of(spec.dtype)), kernels_(ggml::kernels_of(spec.dtype)), cuda_(ggml::cuda_kernels_of(spec.dtype)) {}

  int64_t block_cols(int64_t) const override { return type_.block; }

  Grid fit(const Tensor& w, const FitOptions& options) const override { return quantize(w, options).grid; }

  // llama-quantize's own search, byte for byte, with and without importance, on the CPU and on a GPU.
  Quantized quantize(const Tensor& w, const FitOptions& options) const override {
    const int64_t N = w.size(0), K = w.size(1);
    encoding_parts(spec(), N, K, "weight");  // throws when K does not fit
    const at::Device device = home_of(w);
    const Tensor x = w.to(device, at::kFloat).contiguous();
    Tensor importance;
    if (options.importance.defined()) {
      importance = options.importance.to(device, at::kFloat).contiguous();
      TEENY_ASSERT(importance.numel() == K);
    }
    const Storage s(type_, N, K, device);
    const float* weights = importance.defined() ? importance.const_data_ptr<float>() : nullptr;
    if (device.is_cuda()) {
      cuda_->quantize(x.const_data_ptr<float>(), weights, s.rows(0, N), stream_of(x));
      return {{s.codes}, make_grid(type_, s)};
    }
    at::parallel_for(0, N, grain(K), [&](int64_t begin, int64_t end) { kernels_.quantize(x.const_data_ptr<float>() + begin * K, weights, s.rows(begin, end)); });
    return {{s.codes}, make_grid(type_, s)};
  }

  QuantTensor pack(const Levels& levels, const Grid& grid) const override {
    const Storage s(levels, grid, home_of(levels.q));
    const int64_t N = s.codes.size(0), K = s.codes.size(1), row_bytes = K / type_.block * type_.bytes;
    const Tensor bytes = at::empty({N, row_bytes}, s.codes.options());
    if (bytes.is_cuda()) {
      cuda_->pack(s.rows(0, N), bytes.mutable_data_ptr<uint8_t>(), stream_of(bytes));
      return {spec(), N, K, {{"weight", bytes}}};
    }
    at::parallel_for(0, N, grain(K), [&](int64_t begin, int64_t end) { kernels_.pack(s.rows(begin, end), bytes.mutable_data_ptr<uint8_t>() + begin * row_bytes); });
    return {spec(), N, K, {{"weight", bytes}}};
  }

  Quantized unpack(const QuantTensor& packed) const override {
    const Tensor bytes = packed.part("weight").to(home_of(packed.part("weight"))).contiguous();
    const Storage s(type_, packed.N, packed.K, bytes.device());
    const int64_t row_bytes = bytes.size(1);
    if (bytes.is_cuda()) {
      cuda_->unpack(bytes.const_data_ptr<uint8_t>(), s.rows(0, packed.N), stream_of(bytes));
      return {{s.codes}, make_grid(type_, s)};
    }
    at::parallel_for(0, packed.N, grain(packed.K), [&](int64_t begin, int64_t end) { kernels_.unpack(bytes.const_data_ptr<uint8_t>() + begin * row_bytes, s.rows(begin, end)); });
    return {{s.codes}, make_grid(type_, s)};
  }

  Tensor decode(const QuantTensor& packed) const override {
    const Tensor bytes = packed.part("weight").to(home_of(packed.part("weight"))).contiguous();
    const Tensor out = at::empty({packed.N, packed.K}, bytes.options().dtype(at::kFloat));
    const int64_t K = packed.K, B = K / type_.block;
    if (bytes.is_cuda()) {
      cuda_->decode(bytes.const_data_ptr<uint8_t>(), packed.N * B, out.mutable_data_ptr<float>(), stream_of(bytes));
      return out;
    }
    at::parallel_for(0, packed.N, grain(K), [&](int64_t begin, int64_t end) {
      kernels_.decode(bytes.const_data_ptr<uint8_t>() + begin * B * type_.bytes, (end - begin) * B, out.mutable_data_ptr<float>() + begin * K);
    });
    return out;
  }

 private:
  // Where the work is done: on the GPU that holds the weight, when there are kernels.
  at::Device home_of(const Tensor& t) const { return t.is_cuda() && cuda_ ? t.device() : at::Device(at::kCPU); }
  static int64_t grain(int64_t K) { return std::max<int64_t>(1, 65536 / K); }  // rows a task

  const ggml::GgmlType& type_;
  const ggml::TypeKernels& kernels_;
  const ggml::CudaKernels* cuda_;  // null in a build without kernels
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
