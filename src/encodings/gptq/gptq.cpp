// GPTQ checkpoint layout, v1 and v2: qweight packed along K, qzeros along N (v1 stores zero - 1), scales fp16 (G, N), g_idx.
#include "encodings/common/affine.h"
#include "encodings/registry.h"

namespace teeny {
namespace {

class GptqEncoding : public Encoding {
 public:
  using Encoding::Encoding;

  int64_t block_cols(int64_t K) const override { return spec().group > 0 ? spec().group : K; }

  Grid fit(const Tensor& w, const FitOptions& options) const override {
    return fit_affine(w, {spec().bits, block_cols(w.size(1)), spec().symmetric, spec().symmetric ? 0 : spec().zero_offset, spec().tensor_scale, scale_type(spec())}, options);
  }

  // levels (N, K), grid.scale and grid.zero (N, G)
  QuantTensor pack(const Levels& levels, const Grid& grid) const override {
    const int64_t N = levels.q.size(0), K = levels.q.size(1), group = block_cols(K);
    // v1's zero point 0 becomes all ones, as in files that have it; fit() never gives one.
    const Tensor zeros = (grid.zero - spec().zero_offset).remainder(double(1 << spec().bits)).to(at::kByte);  // (N, G)
    const Tensor g_idx = grid.g_idx.defined() ? grid.g_idx.to(at::kInt) : at::arange(K, levels.q.options().dtype(at::kLong)).div(group, "floor").to(at::kInt);
    return {spec(), N, K,
            {{"qweight", pack_bits(levels.q.t(), spec().bits)},
             {"qzeros", pack_bits(zeros, spec().bits).t().contiguous()},
             {"scales", to_stored(grid.scale, spec()).t().contiguous()},
             {"g_idx", g_idx}}};
  }

  Quantized unpack(const QuantTensor& packed) const override {
    Grid grid;
    grid.group = block_cols(packed.K);
    grid.hi = (1 << spec().bits) - 1;
    grid.scale = packed.part("scales").t().to(at::kFloat).contiguous();
    const Tensor stored = unpack_bits(packed.part("qzeros").t().contiguous(), spec().bits, packed.N);  // (N, G)
    // v1 readers add one and keep `bits` bits: a stored field of all ones means zero point 0.
    grid.zero = (stored.to(at::kFloat) + spec().zero_offset).fmod_(grid.hi + 1);
    grid.g_idx = group_order(packed.part("g_idx"), grid.group, grid.scale.size(1), spec());
    return {{unpack_bits(packed.part("qweight"), spec().bits, packed.K).t().contiguous()}, grid};
  }
};

}  // namespace

std::shared_ptr<const Encoding> make_gptq(const EncodingSpec& spec) {
  if (spec.bits != 2 && spec.bits != 3 && spec.bits != 4 && spec.bits != 8) return nullptr;
  return std::make_shared<GptqEncoding>(spec);
}

std::vector<EncodingSpec> gptq_examples() {
  std::vector<EncodingSpec> all;
  for (const int bits : {2, 3, 4, 8})
    for (const bool symmetric : {true, false})
      for (const int zero_offset : {1, 0})
        for (const int64_t group : {int64_t(128), int64_t(32), int64_t(-1)})
          all.push_back({EncodingKind::Gptq, DType::F32, bits, group, symmetric, zero_offset});
  all.push_back({EncodingKind::Gptq, DType::F32, 4, -1, true, 1, true});
  return all;
}

}  // namespace teeny
