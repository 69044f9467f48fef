// inspect --verify: every tensor is read back, decoded, and checked for what its format promises.
#include <cmath>

#include "teeny/core/error.h"
#include "teeny/encodings/encoding.h"
#include "teeny/family/describe.h"
#include "teeny/model/loader.h"
#include "teeny/pipeline/pipeline.h"
#include "teeny/record/record.h"

namespace teeny {
namespace {

struct Findings {
  Json problems = Json::array();
  int64_t tensors = 0, weights = 0;
  void add(const std::string& tensor, const std::string& problem) { problems.push_back({{"tensor", tensor}, {"problem", problem}}); }
};

void check_values(const std::string& name, const Tensor& values, Findings& findings) {
  const int64_t bad = values.isfinite().logical_not().sum().item<int64_t>();
  if (bad) findings.add(name, fmt::format("{} of {} values are NaN or infinite", bad, values.numel()));
}

void check_weight(const WeightLoader& loader, const std::string& module, int64_t N, int64_t K, Findings& findings) {
  const Weight weight = loader.linear(module, N, K);
  ++findings.tensors;
  if (const auto* packed = std::get_if<QuantTensor>(&weight)) {
    const auto encoding = make_encoding(packed->spec);
    const auto [levels, grid] = encoding->unpack(*packed);
    // Codes and grid, packed again, must be the bytes that were read: the file holds nothing that teeny does not understand.
    const QuantTensor again = encoding->pack(levels, grid);
    for (size_t i = 0; i < again.parts.size(); ++i)
      if (!again.parts[i].second.equal(packed->parts[i].second)) findings.add(module, fmt::format("part {} is not what its codes pack to", again.parts[i].first));
    const auto scheme = scheme_of(loader.quant(), module);
    if (packed->spec.kind == EncodingKind::Gptq && scheme && scheme->symmetric && !packed->spec.symmetric)
      findings.add(module, "is labelled symmetric, but zero points differ from 2^(bits-1)");
    check_values(module, encoding->decode(*packed), findings);
  } else {
    check_values(module, std::get<Tensor>(weight).to(at::kFloat), findings);
  }
  findings.weights += N * K;
}

}  // namespace

Json run_verify(const CommonOptions& options, Context& context) {
  RunRecord record("inspect", options.args, context.seed);
  const auto source = open_source(options.model);
  const ModelSpec spec = read_spec(*source);
  const WeightLoader loader(*source, spec);
  Findings findings;
  context.progress_start("verify", uint64_t(spec.layers) + 1);
  check_weight(loader, "model.embed_tokens", spec.vocab, spec.hidden, findings);
  if (!spec.tied) check_weight(loader, "lm_head", spec.vocab, spec.hidden, findings);
  check_values(kFinalNorm, loader.vector(kFinalNorm, spec.hidden), findings);
  context.progress_advance();
  for (int64_t layer = 0; layer < spec.layers; ++layer) {
    context.check_interrupted();
    const std::string prefix = layer_prefix(layer);
    for (const char* norm : {"input_layernorm.weight", "post_attention_layernorm.weight"}) check_values(prefix + norm, loader.vector(prefix + norm, spec.hidden), findings);
    for (const auto& slot : kLinears) {
      const auto [N, K] = linear_shape(spec, slot.module);
      check_weight(loader, prefix + slot.module, N, K, findings);
      if (const auto bias = loader.bias(prefix + slot.module, N)) check_values(prefix + slot.module + ".bias", *bias, findings);
    }
    context.progress_advance();
  }
  context.progress_finish();
  if (loader.label_contradicted()) context.warn("gptq-label", "the stored zero points contradict the checkpoint_format label; the tensors are trusted");
  record.json()["model"] = describe_model(*source, spec, loader.quant(), options.hash);
  record.json()["inspect"] = {{"verify", {{"tensors", findings.tensors}, {"weights", findings.weights}, {"problems", findings.problems}}}};
  record.finish(context, findings.problems.empty() ? "ok" : "check-failed");
  return record.json();
}

}  // namespace teeny
