// compressed-tensors "int-quantized": weight int8 (N, K) of signed codes, weight_scale (N, G), weight_zero_point int8 when
// asymmetric. The format of W8A8: with static activations input_scale and input_zero_point stand beside them.
// Layout: compressors/naive_quantized of the package.
#include <algorithm>

#include "encodings/common/affine.h"
#include "encodings/registry.h"
#include "teeny/core/error.h"

namespace teeny {
namespace {

// Static activation scales ride in Grid::parts under their file names.
Tensor input_part(const Grid& grid, const char* name, const EncodingSpec& spec) {
  for (const auto& [key, tensor] : grid.parts)
    if (key == name) return tensor;
  throw Error(ErrorKind::Bug, "encoding", spec.name(), fmt::format("has static activations, but no {} was given", name));
}

class CtIntEncoding : public Encoding {
 public:
  using Encoding::Encoding;

  int64_t block_cols(int64_t K) const override { return spec().group > 0 ? spec().group : K; }

  Grid fit(const Tensor& w, const FitOptions& options) const override {
    Grid grid = fit_affine(w, {spec().bits, block_cols(w.size(1)), spec().symmetric, 0, spec().tensor_scale, scale_type(spec())}, options);
    for (const char* name : input_parts()) grid.parts.emplace_back(name, name == kScale ? at::ones({1}, w.options()) : at::zeros({1}, w.options()));
    return grid;
  }

  QuantTensor pack(const Levels& levels, const Grid& grid) const override {
    const int offset = 1 << (spec().bits - 1);
    QuantTensor out{spec(), levels.q.size(0), levels.q.size(1),
                    {{"weight", (levels.q.to(at::kShort) - offset).to(at::kChar)}, {"weight_scale", to_stored(grid.scale, spec()).contiguous()}}};
    if (!spec().symmetric) out.parts.emplace_back("weight_zero_point", (grid.zero - offset).to(at::kChar));
    for (const char* name : input_parts()) {
      const Tensor value = input_part(grid, name, spec()).reshape({1});
      out.parts.emplace_back(name, name == kScale ? to_stored(value, spec()) : value.to(at::kChar));
    }
    return out;
  }

  Quantized unpack(const QuantTensor& packed) const override {
    const int offset = 1 << (spec().bits - 1);
    Grid grid;
    grid.group = block_cols(packed.K);
    grid.hi = 2 * offset - 1;
    grid.scale = packed.part("weight_scale").to(at::kFloat);
    grid.zero = spec().symmetric ? at::full_like(grid.scale, double(offset)) : packed.part("weight_zero_point").to(at::kFloat) + offset;
    for (const char* name : input_parts()) grid.parts.emplace_back(name, packed.part(name).to(at::kFloat));
    const Tensor signed_codes = packed.part("weight").to(at::kShort) + offset;
    if (spec().bits < 8 && (signed_codes.lt(0).any().item<bool>() || signed_codes.gt(grid.hi).any().item<bool>()))
      throw input_error("encoding", spec().name(), "a code is outside {}..{}; the file is damaged", -offset, offset - 1);
    return {{signed_codes.to(at::kByte)}, grid};
  }

 private:
  static constexpr const char* kScale = "input_scale";
  std::vector<const char*> input_parts() const {
    if (spec().act_bits != 8 || !spec().act_static) return {};
    if (spec().act_symmetric) return {kScale};
    return {kScale, "input_zero_point"};
  }
};

}  // namespace

std::shared_ptr<const Encoding> make_ct_int(const EncodingSpec& spec) {
  if (spec.bits < 2 || spec.bits > 8) return nullptr;
  return std::make_shared<CtIntEncoding>(spec);
}

std::vector<EncodingSpec> ct_int_examples() {
  EncodingSpec dynamic{EncodingKind::CtInt, DType::I8, 8, -1, true, 0};
  dynamic.act_bits = 8;
  EncodingSpec fixed = dynamic, shifted = dynamic, weights = dynamic, four = dynamic, bf16 = dynamic;
  fixed.act_static = true;
  shifted.act_static = true, shifted.act_symmetric = false;
  weights.act_bits = 16, weights.symmetric = false, weights.group = 64;
  four.bits = 4, four.group = 128;
  bf16.scale_dtype = DType::BF16;
  return {dynamic, fixed, shifted, weights, four, bf16};
}

}  // namespace teeny
