// AutoAWQ "gemm" layout: 4-bit codes packed along N, eight to a word in nibble order 0 2 4 6 1 3 5 7; zeros stored as is.
#include <array>

#include "encodings/common/affine.h"
#include "encodings/registry.h"

namespace teeny {
namespace {

constexpr std::array<int, 8> kNibbleColumn = {0, 2, 4, 6, 1, 3, 5, 7};  // nibble i holds column base + kNibbleColumn[i]

Tensor pack_awq(const Tensor& codes) {  // (R, C) uint8 -> (R, C/8) int32
  const Tensor c = codes.view({codes.size(0), codes.size(1) / 8, 8}).to(at::kLong);
  Tensor words = at::zeros({c.size(0), c.size(1)}, c.options());
  for (int i = 0; i < 8; ++i) words.bitwise_or_(at::bitwise_left_shift(c.select(2, kNibbleColumn[i]), 4 * i));
  return words.to(at::kInt);  // wraps to the same 32 bits
}

Tensor unpack_awq(const Tensor& words) {  // (R, C/8) int32 -> (R, C) uint8
  const Tensor w = words.to(at::kLong).bitwise_and(0xffffffffll);
  Tensor codes = at::empty({w.size(0), w.size(1), 8}, w.options().dtype(at::kByte));
  for (int i = 0; i < 8; ++i) codes.select(2, kNibbleColumn[i]).copy_(at::bitwise_right_shift(w, 4 * i).bitwise_and(15));
  return codes.view({w.size(0), w.size(1) * 8});
}

class AwqEncoding : public Encoding {
 public:
  using Encoding::Encoding;

  int64_t block_cols(int64_t K) const override { return spec().group > 0 ? spec().group : K; }

  Grid fit(const Tensor& w, const FitOptions& options) const override {
    return fit_affine(w, {4, block_cols(w.size(1)), spec().symmetric, 0, spec().tensor_scale, scale_type(spec())}, options);
  }

  QuantTensor pack(const Levels& levels, const Grid& grid) const override {
    return {spec(), levels.q.size(0), levels.q.size(1),
            {{"qweight", pack_awq(levels.q.t().contiguous())},
             {"qzeros", pack_awq(grid.zero.to(at::kByte).t().contiguous())},
             {"scales", to_stored(grid.scale, spec()).t().contiguous()}}};
  }

  Quantized unpack(const QuantTensor& packed) const override {
    Grid grid;
    grid.group = block_cols(packed.K);
    grid.hi = 15;
    grid.scale = packed.part("scales").t().to(at::kFloat).contiguous();
    grid.zero = unpack_awq(packed.part("qzeros")).t().to(at::kFloat).contiguous();
    return {{unpack_awq(packed.part("qweight")).t().contiguous()}, grid};
  }
};

}  // namespace

std::shared_ptr<const Encoding> make_awq(const EncodingSpec& spec) {
  if (spec.bits != 4) return nullptr;
  return std::make_shared<AwqEncoding>(spec);
}

std::vector<EncodingSpec> awq_examples() {
  std::vector<EncodingSpec> all;
  for (const bool symmetric : {true, false})
    for (const int64_t group : {int64_t(128), int64_t(64), int64_t(-1)}) all.push_back({EncodingKind::Awq, DType::F32, 4, group, symmetric, 0, false});
  return all;
}

}  // namespace teeny
