#include "plan/recode.h"

#include <algorithm>

#include "teeny/core/error.h"

namespace teeny {
namespace {

template <class... A>
Error refusal(const std::string& format, const std::string& module, fmt::format_string<A...> text, A&&... args) {
  return input_error("convert", "--format " + format, "{}: {}", module, fmt::format(text, std::forward<A>(args)...));
}

bool affine(EncodingKind kind) {
  return kind == EncodingKind::Gptq || kind == EncodingKind::Awq || kind == EncodingKind::CtPacked || kind == EncodingKind::CtInt;
}

constexpr const char* kAnyValue = "`--format safetensors --dtype f32` holds its values exactly, --format gguf fits them anew";

void require_affine(const EncodingSpec& from, const std::string& format, const std::string& module) {
  if (affine(from.kind) && format != "bitsandbytes") return;
  if (from.kind == EncodingKind::BnbInt8 && format == "bitsandbytes") return;
  if (from.kind == EncodingKind::BnbInt8)
    throw refusal(format, module, "LLM.int8 multiplies by absmax and then by 1/127, which no single scale gives to the last bit; {}", kAnyValue);
  if (from.kind == EncodingKind::BnbNf4 || from.kind == EncodingKind::BnbFp4)
    throw refusal(format, module, "{} codes stand for a table of values, not for equal steps; {}", from.name(), kAnyValue);
  if (format == "bitsandbytes")
    throw refusal(format, module, "LLM.int8 holds whole rows by their largest value, not the codes of {}; {}, and `teeny quantize --method int8` rounds the original model", from.name(), kAnyValue);
  throw refusal(format, module, "blocks of {} cannot be held; {}", from.name(), kAnyValue);
}

EncodingSpec to_gptq(const TensorSource& source, const StoredWeight& stored, const std::string& format, const std::string& module) {
  EncodingSpec to = stored.encoding;
  to.kind = EncodingKind::Gptq;
  to.zero_offset = format == "gptq" ? 1 : 0;
  if (to.bits != 2 && to.bits != 3 && to.bits != 4 && to.bits != 8)
    throw refusal(format, module, "GPTQ checkpoints hold 2, 3, 4 or 8 bits, these are {}; use --format compressed-tensors", to.bits);
  const bool from_v1 = stored.encoding.kind == EncodingKind::Gptq && stored.encoding.zero_offset == 1;
  if (format == "gptq" && !from_v1 && has_zero_point_0(source, stored, module))
    throw refusal(format, module, "has zero points 0, which GPTQ v1 cannot store; use --format gptq-v2 or compressed-tensors");
  return to;
}

EncodingSpec to_awq(const TensorSource& source, const StoredWeight& stored, const std::string& module, int64_t K) {
  EncodingSpec to = stored.encoding;
  to.kind = EncodingKind::Awq;
  to.zero_offset = 0;
  if (to.bits != 4) throw refusal("awq", module, "AWQ checkpoints hold 4 bits, these are {}; use --format compressed-tensors or gptq", to.bits);
  if (!groups_in_order(source, stored, module, K))
    throw refusal("awq", module, "its columns are grouped in another order (desc_act), which AWQ cannot store; use --format gptq or compressed-tensors, or quantize without --desc-act");
  return to;
}

EncodingSpec to_compressed(const TensorSource& source, const StoredWeight& stored, const std::string& module, int64_t K) {
  EncodingSpec to = stored.encoding;
  if (to.kind != EncodingKind::CtInt) to.kind = EncodingKind::CtPacked;
  to.zero_offset = 0;
  if (to.bits != 4 && to.bits != 8)
    throw refusal("compressed-tensors", module, "readers agree on 4 and 8 bits only, these are {}; use --format gptq, or --format gguf, which fits them anew", to.bits);
  to.ordered = !groups_in_order(source, stored, module, K);
  return to;
}

// What no quantization config tells apart.
EncodingSpec as_labelled(EncodingSpec spec) {
  spec.scale_dtype = DType::F16;
  spec.zero_offset = 0;
  spec.tensor_scale = false;
  if (spec.kind == EncodingKind::Gptq) spec.ordered = false;
  return spec;
}

}  // namespace

EncodingSpec recoded(const TensorSource& source, const StoredWeight& stored, const std::string& format, const std::string& module, int64_t K) {
  require_affine(stored.encoding, format, module);
  EncodingSpec to = stored.encoding;
  if (format == "gptq" || format == "gptq-v2") to = to_gptq(source, stored, format, module);
  if (format == "awq") to = to_awq(source, stored, module, K);
  if (format == "compressed-tensors") to = to_compressed(source, stored, module, K);
  if (format == "gptq" || format == "gptq-v2") to.ordered = !groups_in_order(source, stored, module, K);
  if (to.kind == EncodingKind::Gptq || to.kind == EncodingKind::Awq) to.scale_dtype = DType::F16;  // what loaders take; checked when it is written
  if (to.kind != EncodingKind::CtInt) to.act_bits = 16, to.act_static = false, to.act_symmetric = true;
  return to;
}

void settle_recoded(Plan& plan, const TensorSource& source, const QuantConfig& quant) {
  const bool gptq = plan.format == "gptq" || plan.format == "gptq-v2";
  // `sym` is one label for a GPTQ checkpoint; zero points are stored either way, so "asymmetric" is true of a mixture.
  bool all_symmetric = true;
  for (const auto& tensor : plan.tensors)
    if (tensor.method == "recode") {
      all_symmetric = all_symmetric && tensor.encoding.symmetric;
      plan.ordered = plan.ordered || tensor.encoding.ordered;
    }
  for (auto& tensor : plan.tensors)
    if (tensor.method == "recode" && gptq) tensor.encoding.symmetric = all_symmetric, tensor.encoding.ordered = false;
  const auto groups = encoding_groups(plan);
  if (groups.empty()) throw input_error("convert", "--format " + plan.format, "{} has no quantized weight", source.path());
  const EncodingSpec& main = groups[0].encoding;
  if (plan.format == "awq" && groups.size() > 1 && !std::all_of(groups.begin(), groups.end(), [&](const auto& g) { return g.encoding.group == main.group; }))
    throw input_error("convert", "--format awq", "weights have different groups ({} and {}), an AWQ checkpoint has one; use --format compressed-tensors", main.name(), groups[1].encoding.name());
  plan.bits = main.bits, plan.group = main.group, plan.symmetric = main.symmetric;
  plan.act_bits = main.act_bits, plan.act_static = main.act_static;
  plan.granularity = main.group > 0 ? "group" : "channel";
  plan.origin = quant.method;
  for (const auto& [config, key] : {std::pair{quant.raw, "meta"}, {source.config(), "teeny_quantization"}})
    if (const auto meta = config.find(key); meta != config.end() && meta->is_object())
      if (const auto method = meta->find("teeny_method"); method != meta->end() && method->is_string()) plan.origin = *method;
}

DType stored_type(const TensorSource& source, const std::string& name, DType otherwise) {
  const auto* info = source.find(name);
  const bool known = info && (info->dtype == DType::F32 || info->dtype == DType::F16 || info->dtype == DType::BF16);
  return known ? info->dtype : otherwise;
}

std::vector<EncodingGroup> encoding_groups(const Plan& plan) {
  std::vector<EncodingGroup> groups;
  std::vector<int64_t> weights;
  for (const auto& tensor : plan.tensors) {
    if (!tensor.weight || tensor.encoding.kind == EncodingKind::Plain) continue;
    const EncodingSpec label = as_labelled(tensor.encoding);
    const auto at = std::find_if(groups.begin(), groups.end(), [&](const auto& group) { return group.encoding == label; });
    const size_t i = size_t(at - groups.begin());
    if (at == groups.end()) groups.push_back({label, {}}), weights.push_back(0);
    groups[i].modules.push_back(tensor.module);
    weights[i] += tensor.N * tensor.K;
  }
  if (const auto most = std::max_element(weights.begin(), weights.end()); most != weights.end()) std::rotate(groups.begin(), groups.begin() + (most - weights.begin()), groups.begin() + (most - weights.begin()) + 1);
  return groups;
}

std::vector<std::string> plain_linears(const Plan& plan) {
  std::vector<std::string> out;
  for (const auto& tensor : plan.tensors)
    if (tensor.weight && tensor.encoding.kind == EncodingKind::Plain && tensor.module.starts_with("model.layers.")) out.push_back(tensor.module);
  return out;
}

}  // namespace teeny
