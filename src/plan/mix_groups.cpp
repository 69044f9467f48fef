// Which encodings each weight could get, and what measuring them costs.
#include <algorithm>
#include <cctype>
#include <set>

#include "teeny/core/error.h"
#include "teeny/family/names.h"
#include "teeny/plan/gguf_mix.h"
#include "teeny/plan/mix.h"

namespace teeny {
namespace {

// Types of the same bits that lose more on every model (Q4_0, Q4_1, Q5_0, Q5_1, IQ4_NL) serve rows that k-quants cannot hold.
constexpr DType kGgufCandidates[] = {DType::Q2_K, DType::Q3_K, DType::IQ4_XS, DType::Q4_K, DType::Q5_K, DType::Q6_K, DType::Q8_0};
constexpr int64_t kGroups[] = {128, 64, 32};  // that Marlin's kernels take

constexpr double kMostFlops = 1e13, kMostLargeFlops = 6e15;  // a few minutes of two cores; what GPTQ itself takes of a 14B model
constexpr uint64_t kMostBytes = 2ull << 30, kMostLargeBytes = 8ull << 30;
constexpr int64_t kTokens = 4096, kFewestTokens = 512;
constexpr double kMiddleBits = 4.5;  // errors there are small enough to add up, and large enough to be measured

EncodingSpec plain(DType dtype) {
  EncodingSpec spec;
  spec.dtype = dtype;
  return spec;
}

EncodingSpec ggml(DType dtype) {
  EncodingSpec spec = plain(dtype);
  if (!traits(dtype).scalar()) spec.kind = EncodingKind::Ggml;
  return spec;
}

std::vector<int> bits_of_format(const std::string& format) {
  if (format == "compressed-tensors") return {4, 8};
  return {2, 3, 4, 8};
}

// A type ("Q4_K") or a number of bits ("4"), as --candidates has them.
bool named(const std::vector<std::string>& only, const EncodingSpec& spec) {
  if (only.empty()) return true;
  return std::any_of(only.begin(), only.end(), [&](const std::string& name) {
    return spec.kind == EncodingKind::Plain || spec.kind == EncodingKind::Ggml ? name == name_of(spec.dtype) || (name == "16" && spec.kind == EncodingKind::Plain)
                                                                               : name == std::to_string(spec.bits);
  });
}

DType plain_type(const Plan& base) {
  if (base.container == ContainerKind::Gguf) return base.spec.dtype == "bfloat16" ? DType::BF16 : DType::F16;
  return dtype_from_name(base.dtype).value_or(DType::F16);
}

std::vector<EncodingSpec> affine_candidates(const Plan& base, const EncodingSpec& linear) {
  const auto divides_all = [&](int64_t group) {
    return std::all_of(std::begin(kLinears), std::end(kLinears), [&](const auto& slot) { return linear_shape(base.spec, slot.module).second % group == 0; });
  };
  std::vector<int64_t> groups{linear.group};
  for (const int64_t group : kGroups)
    if (linear.group > group && divides_all(group)) groups.push_back(group);
  std::vector<EncodingSpec> out;
  for (const int bits : bits_of_format(base.format))
    for (const int64_t group : groups) {
      if (bits == 8 && group != linear.group) continue;  // finer scales change nothing there
      EncodingSpec spec = linear;
      spec.bits = bits, spec.group = group;
      out.push_back(spec);
    }
  return out;
}

std::vector<EncodingSpec> model_candidates(const Plan& base, const EncodingSpec& linear, const std::vector<std::string>& only) {
  std::vector<EncodingSpec> all, out;
  if (base.container == ContainerKind::Gguf)
    for (const DType dtype : kGgufCandidates) all.push_back(ggml(dtype));
  else
    all = affine_candidates(base, linear);
  all.push_back(plain(plain_type(base)));
  for (const auto& spec : all)
    if (named(only, spec)) out.push_back(spec);
  for (const auto& name : only)
    if (std::none_of(all.begin(), all.end(), [&](const auto& spec) { return named({name}, spec); })) {
      std::set<std::string> known;
      for (const auto& spec : all) known.insert(base.container == ContainerKind::Gguf || spec.kind == EncodingKind::Plain ? std::string(name_of(spec.dtype)) : std::to_string(spec.bits));
      throw usage_error("quantize", "--candidates " + name, "is none of --format {}; choose among {}", base.format, fmt::join(known, ", "));
    }
  return out;
}

MixCandidate candidate_of(const Plan& base, const std::vector<const PlannedTensor*>& tensors, EncodingSpec spec) {
  if (base.container == ContainerKind::Gguf && spec.kind == EncodingKind::Ggml) spec = ggml(gguf_fallback(spec.dtype, tensors[0]->K));
  MixCandidate candidate{candidate_label(spec), spec, 0, spec.kind == EncodingKind::Plain};
  for (const auto* tensor : tensors)
    for (const auto& part : encoding_parts(spec, tensor->N, tensor->K, tensor->module)) candidate.bytes += part.bytes();
  return candidate;
}

// "model.layers.0.self_attn.qkv_proj" for three that are fused.
std::string group_name(const std::vector<const PlannedTensor*>& tensors) {
  const std::string& first = tensors[0]->module;
  if (tensors.size() == 1) return first;
  const auto dot = first.rfind('.') + 1;
  return first.substr(0, dot) + (tensors.size() == 3 ? "qkv_proj" : "gate_up_proj");
}

std::vector<std::vector<const PlannedTensor*>> tensors_together(const Plan& base) {
  const bool gguf = base.container == ContainerKind::Gguf;
  const auto input_of = [](const std::string& module) {
    for (const auto& slot : kLinears)
      if (module.ends_with(slot.module)) return slot.input;
    return -1;
  };
  std::vector<std::vector<const PlannedTensor*>> out;
  const PlannedTensor* before = nullptr;
  for (const auto& tensor : base.tensors) {
    if (!tensor.weight) continue;
    const bool in_block = tensor.module.starts_with("model.layers.");
    if (!gguf && !in_block) continue;
    const bool fused = !gguf && before && in_block && input_of(before->module) == input_of(tensor.module) &&
                       before->module.substr(0, before->module.rfind('.')) == tensor.module.substr(0, tensor.module.rfind('.'));
    if (!fused) out.emplace_back();
    out.back().push_back(&tensor);
    before = &tensor;
  }
  std::erase_if(out, [](const auto& group) { return std::any_of(group.begin(), group.end(), [](const auto* t) { return t->by_rule; }); });
  return out;
}

}  // namespace

std::string candidate_label(const EncodingSpec& spec) {
  if (spec.kind == EncodingKind::Plain) return "plain";
  if (spec.kind == EncodingKind::Ggml) return spec.name();
  const std::string grain = spec.tensor_scale ? "tensor" : spec.group > 0 ? fmt::format("g{}", spec.group) : "channel";
  return fmt::format("w{}_{}_{}", spec.bits, grain, spec.symmetric ? "sym" : "asym");
}

std::vector<MixGroup> mix_groups(const Plan& base, const std::vector<std::string>& only) {
  std::vector<MixGroup> out;
  std::vector<EncodingSpec> specs;
  for (const auto& tensors : tensors_together(base)) {
    if (specs.empty()) specs = model_candidates(base, tensors[0]->encoding, only);
    MixGroup group;
    group.name = group_name(tensors);
    for (const auto* tensor : tensors) group.modules.push_back(tensor->module), group.weights += tensor->N * tensor->K;
    for (const auto& spec : specs) group.candidates.push_back(candidate_of(base, tensors, spec));
    out.push_back(std::move(group));
  }
  return out;
}

MeasurePlan plan_measurement(const ModelSpec& spec, const std::vector<MixGroup>& groups) {
  if (groups.empty()) return {};
  const double head = 2.0 * double(spec.vocab) * double(spec.hidden);
  double block = 0;
  for (const auto& slot : kLinears) {
    const auto [N, K] = linear_shape(spec, slot.module);
    block += 2.0 * double(N) * double(K);
  }
  std::vector<size_t> all;
  size_t middle = 0;
  double nearest = 1e9;
  for (size_t c = 0; c < groups[0].candidates.size(); ++c) {
    if (groups[0].candidates[c].plain) continue;
    all.push_back(c);
    if (const double distance = std::abs(groups[0].bits_per_weight(c) - kMiddleBits); distance < nearest) nearest = distance, middle = c;
  }
  if (all.empty()) return {};
  // A changed weight of block l is carried through blocks l .. L-1 and the head.
  const auto settle = [&](std::vector<size_t> candidates, int64_t tokens) {
    double a_token = block * double(spec.layers) + head;  // the whole model in one candidate
    for (const auto& group : groups) {
      const auto at = group.name.find("layers.");
      const int64_t layer = at == std::string::npos ? 0 : std::atoll(group.name.c_str() + at + 7);
      a_token += block * double(spec.layers - layer) + head;
    }
    MeasurePlan plan{std::move(candidates), 0, tokens, 0, 0};
    plan.runs = plan.candidates.size() * (groups.size() + 1);
    plan.flops = a_token * double(plan.candidates.size()) * double(tokens);
    plan.bytes = uint64_t(plan.runs) * uint64_t(tokens) * uint64_t(spec.hidden) * 4;
    return plan;
  };
  std::vector<size_t> three{all.front()};
  for (const size_t c : {middle, all.back()})
    if (c != three.back()) three.push_back(c);
  for (const auto& candidates : {all, three})
    if (auto plan = settle(candidates, kTokens); plan.flops <= kMostFlops && plan.bytes <= kMostBytes) return plan;
  MeasurePlan plan;
  for (int64_t tokens = kTokens; tokens >= kFewestTokens; tokens /= 2) {
    plan = settle({middle}, tokens);
    if (plan.bytes <= kMostLargeBytes && plan.flops <= kMostLargeFlops) break;
  }
  return plan;
}

}  // namespace teeny
