// compressed-tensors: config groups with targets, per-group formats, weights and activations (formats: 4.3).
#include <algorithm>

#include "family/quant_config.h"

namespace teeny::quantization {
namespace {

bool absent_or_empty(const Fields& fields, const char* key) {
  const auto* value = fields.find(key);
  return !value || value->is_null() || (value->is_object() && value->empty());
}

std::string read_format(const Fields& fields) {
  std::string format = lower(fields.string("format").value_or(""));
  return format == "naive-quantized" ? "int-quantized" : format;  // the same tensors under an older name
}

void require_format(const Fields& fields, const std::string& format) {
  if (format != "pack-quantized" && format != "int-quantized")
    throw error(fields, "the format \"{}\" is not supported; known: pack-quantized, int-quantized", printable(format));
}

void read_weights(QuantScheme& scheme, const Fields& weights) {
  scheme.bits = read_bits(weights, "num_bits", {2, 3, 4, 5, 6, 7, 8});
  scheme.group = read_group(weights, "group_size");
  scheme.symmetric = weights.boolean("symmetric").value_or(true);
  const auto type = weights.string("type").value_or("int");
  if (type != "int") throw error(weights, "the type \"{}\" is not supported; known: int", printable(type));
  // Left out, as the package infers it: no group size means one scale for the whole tensor.
  const auto strategy = weights.string("strategy").value_or(scheme.group > 0 ? "group" : weights.has_value("group_size") ? "channel" : "tensor");
  if (strategy != "group" && strategy != "channel" && strategy != "tensor")
    throw error(weights, "the strategy \"{}\" is not supported; known: group, channel, tensor", printable(strategy));
  if ((strategy == "group") != (scheme.group > 0)) throw error(weights, "the strategy \"{}\" and group_size {} disagree", strategy, scheme.group);
  scheme.tensor_scale = strategy == "tensor";
  const auto* order = weights.find("actorder");
  scheme.desc_act = order && (*order == "group" || *order == "dynamic" || *order == true);
}

void read_activations(QuantScheme& scheme, const Fields& input) {
  const auto type = input.string("type").value_or("int");
  const int bits = read_bits(input, "num_bits", {8});
  if (type != "int") throw error(input, "the type \"{}\" is not supported; known: int", printable(type));
  const auto* dynamic = input.find("dynamic");
  scheme.act_bits = bits;
  scheme.act_static = !(dynamic && *dynamic == true);
  scheme.act_symmetric = input.boolean("symmetric").value_or(true);
  const auto strategy = input.string("strategy").value_or(scheme.act_static ? "tensor" : "token");
  if (strategy != (scheme.act_static ? "tensor" : "token"))
    throw error(input, "the strategy \"{}\" of {} activations is not supported; known: token (dynamic), tensor (static)", printable(strategy),
                scheme.act_static ? "static" : "dynamic");
  if (!scheme.act_static && !scheme.act_symmetric) throw error(input, "asymmetric dynamic activations are not supported");
}

QuantScheme read_scheme(const Json& group, const std::string& subject, const std::string& format) {
  if (!group.is_object() || !group.contains("weights") || !group["weights"].is_object()) throw input_error(kWhere, subject + ".weights", "is absent");
  const Fields fields(group, kWhere, subject);
  QuantScheme scheme;
  scheme.format = fields.has_value("format") ? read_format(fields) : format;
  require_format(fields, scheme.format);
  read_weights(scheme, Fields(group["weights"], kWhere, subject + ".weights"));
  if (fields.has_value("input_activations")) {
    if (!group["input_activations"].is_object()) throw error(fields, "\"input_activations\" is no object");
    read_activations(scheme, Fields(group["input_activations"], kWhere, subject + ".input_activations"));
  }
  if (fields.has_value("output_activations")) throw error(fields, "\"output_activations\" are not supported");
  const auto* targets = fields.find("targets");
  if (!targets || targets->is_null()) {
    scheme.targets = {"Linear"};
    return scheme;
  }
  if (!targets->is_array()) throw error(fields, "\"targets\" is no list");
  for (const auto& target : *targets) {
    if (!target.is_string()) throw error(fields, "\"targets\" holds {}, expected strings", printable(target.dump(), 40));
    scheme.targets.push_back(target.get<std::string>());
  }
  return scheme;
}

}  // namespace

void read_compressed_tensors(QuantConfig& out, const Fields& fields) {
  const std::string format = read_format(fields);
  if (format != "mixed-precision") require_format(fields, format);
  if (const auto* sparsity = fields.find("sparsity_config"); sparsity && sparsity->is_object() && sparsity->contains("format") && (*sparsity)["format"] != "dense")
    throw error(fields, "the sparse format {} is not supported", printable((*sparsity)["format"].dump(), 40));
  if (!absent_or_empty(fields, "transform_config")) throw error(fields, "\"transform_config\" is not supported: weights are stored rotated");
  const auto* groups = fields.find("config_groups");
  if (!groups || !groups->is_object() || groups->empty()) throw error(fields, "\"config_groups\" is absent or empty");
  for (const auto& [name, group] : groups->items()) out.schemes.push_back(read_scheme(group, fields.subject() + ":config_groups." + printable(name), format));
  if (const auto* ignore = fields.find("ignore"); ignore && ignore->is_array())
    for (const auto& target : *ignore)
      if (target.is_string()) out.ignore.push_back(target.get<std::string>());
  const QuantScheme& first = out.schemes[0];
  out.bits = first.bits, out.group = first.group, out.symmetric = first.symmetric, out.desc_act = first.desc_act;
  out.act_bits = first.act_bits, out.act_static = first.act_static;
  out.format = first.format;
}

}  // namespace teeny::quantization
