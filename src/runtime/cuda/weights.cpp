#include "runtime/cuda/weights.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "teeny/core/error.h"

namespace teeny {
namespace {

constexpr double kHalfMax = 65504;

Tensor on(const Tensor& t, at::Device device) { return t.defined() ? t.to(device).contiguous() : t; }

const Tensor* grid_part(const Grid& grid, std::string_view name) {
  for (const auto& [key, tensor] : grid.parts)
    if (key == name) return &tensor;
  return nullptr;
}

int code_bits(int hi) {
  const int bits = hi <= 3 ? 2 : hi <= 7 ? 3 : hi <= 15 ? 4 : hi <= 31 ? 5 : 8;
  return bits;
}

void hold_as_half(PreparedWeight& out, const Tensor& w, const std::string& module, at::Device device) {
  const Tensor moved = w.to(device);
  if (!(moved.abs().max().item<float>() <= kHalfMax))
    throw input_error("load", module, "has weights beyond f16's range of 65504, which the GPU engine computes in; use --device cpu");
  out.values = moved.to(at::kHalf).contiguous();
  out.layout.bits = 16;
  out.layout.form = cuda::ScaleForm::None;
}

// Codes that index a table of whole numbers become those numbers, as 8-bit codes around 128.
bool resolve_table(Tensor& codes, const Tensor& table) {
  const Tensor host = table.to(at::kCPU, at::kFloat);
  if (!host.round().equal(host) || host.abs().max().item<float>() > 127) return false;
  codes = (host + 128).to(at::kByte).to(codes.device()).index_select(0, codes.reshape({-1}).to(at::kInt)).view(codes.sizes());
  return true;
}

// Scales in f16: as they are when they fit, else times a power of two that brings the largest to the top of the range.
void fit_scales(PreparedWeight& out) {
  if (out.scale.to(at::kHalf).to(at::kFloat).equal(out.scale)) return;
  const double largest = out.scale.abs().max().item<double>();
  out.factor = largest > 0 ? float(std::ldexp(1.0, int(std::floor(std::log2(largest))) - 14)) : 1.0f;
  out.scale = out.scale / double(out.factor);
}

// False: this grid has no packed form.
bool take_super(PreparedWeight& out, const Grid& grid, at::Device device) {
  const Tensor* sc = grid_part(grid, "sc");
  if (!sc) return false;
  auto& l = out.layout;
  const Tensor* mn = grid_part(grid, "mn");
  l.form = !mn ? cuda::ScaleForm::SuperI8 : grid.hi == 3 ? cuda::ScaleForm::SuperN4 : cuda::ScaleForm::Super6;
  l.group = l.form == cuda::ScaleForm::Super6 ? 32 : 16;
  l.bits = grid.table.defined() ? 8 : grid.hi == 63 ? 6 : code_bits(grid.hi);
  l.zero = grid.table.defined() ? 128 : grid.zero.defined() ? int(grid.zero.reshape({-1})[0].item<float>()) : 0;
  out.d = on(*grid_part(grid, "d"), device);
  out.sc = on(*sc, device);
  if (mn) out.dmin = on(*grid_part(grid, "m"), device), out.mn = on(*mn, device);
  out.source_subs = int(256 / grid.group);
  out.largest_scale = grid.scale.abs().max().item<float>();
  return true;
}

bool take_affine(PreparedWeight& out, const Grid& grid, int64_t K, at::Device device) {
  auto& l = out.layout;
  l.bits = grid.table.defined() ? 8 : code_bits(grid.hi);
  out.scale = on(grid.scale.to(at::kFloat), device);
  out.source_group = grid.group;
  const bool packs = grid.group % 128 == 0 || grid.group == 64 || grid.group == 32 || grid.group == 16;
  l.group = grid.group % 128 == 0 ? 128 : int(grid.group);
  if (grid.min.defined()) {
    l.form = cuda::ScaleForm::HalfMin, l.zero = 0;
    out.min = on(grid.min.to(at::kFloat), device);
    out.largest_scale = out.scale.abs().max().item<float>();
    return (l.bits == 4 || l.bits == 5) && (grid.group == 32 || grid.group == 16);
  }
  bool constant = true;
  l.zero = grid.table.defined() ? 128 : 0;
  if (grid.zero.defined()) {
    out.zero = on(grid.zero.to(at::kFloat), device);
    const auto low = out.zero.min().item<float>();
    constant = low == out.zero.max().item<float>();
    l.zero = constant ? int(low) : 0;
  }
  if (grid.scale.size(1) == 1 && grid.group >= K && constant) {
    l.form = cuda::ScaleForm::Row, l.group = 128;
    out.row_scale = out.scale.reshape({-1}).contiguous();
    return true;
  }
  l.form = constant ? cuda::ScaleForm::Half : cuda::ScaleForm::HalfZero;
  if (packs) fit_scales(out), out.largest_scale = out.scale.abs().max().item<float>();
  return packs;
}

Tensor row_vector(const std::vector<PreparedWeight>& weights, Tensor PreparedWeight::* member, bool interleave) {
  std::vector<Tensor> pieces;
  bool any = false;
  for (const auto& w : weights) {
    any = any || (w.*member).defined();
    const Tensor piece = (w.*member).defined() ? w.*member : at::zeros({w.layout.N}, w.row_scale.defined() ? w.row_scale.options() : at::TensorOptions().device(at::kCUDA).dtype(at::kFloat));
    pieces.push_back(interleave ? piece.view({-1, 16}) : piece);
  }
  if (!any) return {};
  return (interleave ? at::stack(pieces, 1) : at::cat(pieces)).reshape({-1}).contiguous();
}

}  // namespace

bool PreparedWeight::can_join(const PreparedWeight& o) const {
  const auto equal = [](const Tensor& a, const Tensor& b) { return a.defined() == b.defined() && (!a.defined() || a.equal(b)); };
  return layout.same_format(o.layout) && factor == o.factor && layout.N % 16 == 0 && act_bits == o.act_bits && equal(input_scale, o.input_scale) && equal(input_zero, o.input_zero);
}

PreparedWeight prepare_weight(const WeightLoader& loader, const std::string& module, int64_t N, int64_t K, at::Device device) {
  PreparedWeight out = prepare_weight(loader.linear(module, N, K), module, N, K, device);
  if (const auto bias = loader.bias(module, N)) out.bias = on(*bias, device);
  return out;
}

PreparedWeight prepare_weight(const Weight& weight, const std::string& module, int64_t N, int64_t K, at::Device device) {
  PreparedWeight out;
  out.layout.N = N, out.layout.K = K;
  if (const auto* plain = std::get_if<Tensor>(&weight)) {
    hold_as_half(out, *plain, module, device);
    return out;
  }
  const auto& packed = std::get<QuantTensor>(weight);
  if (packed.spec.act_bits == 8) {
    out.act_bits = 8;
    if (packed.spec.act_static) out.input_scale = on(packed.part("input_scale").to(at::kFloat), device);
    if (packed.spec.act_static && !packed.spec.act_symmetric) out.input_zero = on(packed.part("input_zero_point").to(at::kFloat), device);
  }
  Quantized q = make_encoding(packed.spec)->unpack(packed);
  bool packs = !q.grid.g_idx.defined() && (!q.grid.table.defined() || resolve_table(q.levels.q, q.grid.table));
  if (packs) packs = grid_part(q.grid, "sc") ? take_super(out, q.grid, device) : take_affine(out, q.grid, K, device);
  if (packs) {
    out.codes = on(q.levels.q, device);
    return out;
  }
  out.decoded = true;
  out.factor = 1;
  hold_as_half(out, decode(weight), module, device);
  return out;
}

PackedWeight pack_weights(std::vector<PreparedWeight> weights, bool interleave) {
  PackedWeight out;
  out.layout = weights[0].layout;
  out.layout.N = 0;
  for (const auto& w : weights) out.layout.N += w.layout.N;
  out.factor = weights[0].factor, out.act_bits = weights[0].act_bits, out.input_scale = weights[0].input_scale, out.input_zero = weights[0].input_zero;
  out.row_scale = row_vector(weights, &PreparedWeight::row_scale, interleave);
  out.bias = row_vector(weights, &PreparedWeight::bias, interleave);
  const auto device = weights[0].codes.defined() ? weights[0].codes.device() : weights[0].values.device();
  out.storage = at::zeros({int64_t(out.layout.bytes())}, at::TensorOptions().dtype(at::kByte).device(device));
  int64_t tile = 0;
  float largest_scale = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    auto& w = weights[i];
    cuda::CodeSource source;
    const auto pointer = [](const Tensor& t) { return t.defined() ? t.data_ptr() : nullptr; };
    source.codes = static_cast<const uint8_t*>(pointer(w.codes)), source.values = pointer(w.values);
    source.scale = static_cast<const float*>(pointer(w.scale)), source.zero = static_cast<const float*>(pointer(w.zero)), source.min = static_cast<const float*>(pointer(w.min));
    source.groups = w.scale.defined() ? w.scale.size(1) : 0, source.source_group = w.source_group;
    source.d = static_cast<const uint16_t*>(pointer(w.d)), source.dmin = static_cast<const uint16_t*>(pointer(w.dmin));
    source.sc = static_cast<const int8_t*>(pointer(w.sc)), source.mn = static_cast<const int8_t*>(pointer(w.mn)), source.source_subs = w.source_subs;
    largest_scale = std::max(largest_scale, w.largest_scale);
    const PackedWeight::Part part{interleave ? int64_t(i) : tile, interleave ? int64_t(weights.size()) : 1, w.layout.N};
    cuda::pack_weight(w.layout, source, out.storage.mutable_data_ptr<uint8_t>(), part.tile0, part.tile_stride, nullptr);
    out.parts.push_back(part);
    tile += w.layout.N / 16;
    w = {};  // its codes go back before the next weight needs room
  }
  out.unit = cuda::large_unit(out.layout.bits, largest_scale);
  return out;
}

cuda::PackedView PackedWeight::view() const {
  return {layout, storage.const_data_ptr<uint8_t>(), row_scale.defined() ? row_scale.const_data_ptr<float>() : nullptr, factor, unit};
}

uint64_t PackedWeight::bytes() const { return uint64_t(storage.nbytes()) + (row_scale.defined() ? uint64_t(row_scale.nbytes()) : 0); }

void PackedWeight::keep_on_host() {
  auto memory = std::make_shared<cuda::PinnedBuffer>(storage.nbytes());
  void* data = memory->data();
  const Tensor host = at::from_blob(data, storage.sizes(), [memory = std::move(memory)](void*) mutable { memory.reset(); }, at::TensorOptions().dtype(at::kByte));
  host.copy_(storage);
  storage = host;
}

void PackedWeight::unpack(size_t part, int64_t first, int64_t rows, const Tensor& out, cudaStream_t stream) const {
  TEENY_ASSERT(out.scalar_type() == at::kHalf && out.stride(1) == 1);
  cuda::unpack_weight(view(), first, rows, parts[part].tile0, parts[part].tile_stride, out.data_ptr(), out.stride(0), stream);
}

}  // namespace teeny
