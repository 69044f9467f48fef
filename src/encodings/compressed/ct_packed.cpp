// compressed-tensors "pack-quantized": codes q + 2^(bits-1) packed along K into weight_packed (a bit stream a row, zeros at
// its end), weight_scale (N, G), weight_zero_point (asymmetric only) packed the same way along N, weight_shape, and
// weight_g_idx where columns were grouped in another order. Layout: compressors/pack_quantized of the package.
#include "encodings/common/affine.h"
#include "encodings/registry.h"

namespace teeny {
namespace {

class CtPackedEncoding : public Encoding {
 public:
  using Encoding::Encoding;

  int64_t block_cols(int64_t K) const override { return spec().group > 0 ? spec().group : K; }

  Grid fit(const Tensor& w, const FitOptions& options) const override {
    return fit_affine(w, {spec().bits, block_cols(w.size(1)), spec().symmetric, 0, spec().tensor_scale, scale_type(spec())}, options);
  }

  QuantTensor pack(const Levels& levels, const Grid& grid) const override {
    const int64_t N = levels.q.size(0), K = levels.q.size(1);
    QuantTensor out{spec(), N, K, {{"weight_packed", pack_rows(levels.q, spec().bits)}, {"weight_scale", to_stored(grid.scale, spec()).contiguous()}}};
    if (!spec().symmetric) out.parts.emplace_back("weight_zero_point", pack_zero_points(grid.zero.to(at::kByte), spec().bits));
    out.parts.emplace_back("weight_shape", at::tensor({N, K}, at::kLong));
    if (spec().ordered)
      out.parts.emplace_back("weight_g_idx", (grid.g_idx.defined() ? grid.g_idx : at::arange(K, levels.q.options().dtype(at::kLong)).div(block_cols(K), "floor")).to(at::kInt));
    return out;
  }

  Quantized unpack(const QuantTensor& packed) const override {
    Grid grid;
    grid.group = block_cols(packed.K);
    grid.hi = (1 << spec().bits) - 1;
    grid.scale = packed.part("weight_scale").to(at::kFloat);
    grid.zero = spec().symmetric ? at::full_like(grid.scale, double(1 << (spec().bits - 1)))
                                 : unpack_rows(packed.part("weight_zero_point").t(), spec().bits, packed.N).t().to(at::kFloat).contiguous();
    if (spec().ordered) grid.g_idx = group_order(packed.part("weight_g_idx"), grid.group, grid.scale.size(1), spec());
    return {{unpack_rows(packed.part("weight_packed"), spec().bits, packed.K)}, grid};
  }
};

}  // namespace

Tensor pack_zero_points(const Tensor& zero, int bits) { return pack_rows(zero.t(), bits).t().contiguous(); }

std::shared_ptr<const Encoding> make_ct_packed(const EncodingSpec& spec) {
  if (spec.bits < 2 || spec.bits > 8) return nullptr;
  return std::make_shared<CtPackedEncoding>(spec);
}

std::vector<EncodingSpec> ct_packed_examples() {
  std::vector<EncodingSpec> all;
  for (const int bits : {3, 4, 8})
    for (const bool symmetric : {true, false})
      for (const int64_t group : {int64_t(128), int64_t(32), int64_t(-1)})
        for (const DType scales : {DType::F16, DType::BF16}) {
          EncodingSpec spec{EncodingKind::CtPacked, DType::F32, bits, group, symmetric, 0};
          spec.scale_dtype = scales;
          spec.ordered = group == 32;
          all.push_back(spec);
        }
  return all;
}

}  // namespace teeny
