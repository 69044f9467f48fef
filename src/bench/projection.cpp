#include "bench/projection.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "teeny/core/error.h"

namespace teeny {
namespace {

std::string hardware_directory() { return path_join(config_directory(), "hw"); }

std::string known_hardware() {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator at(hardware_directory(), error), end; !error && at != end; at.increment(error))
    if (at->path().extension() == ".json") names.push_back(at->path().stem().string());
  std::sort(names.begin(), names.end());
  std::string out;
  for (const auto& name : names) out += (out.empty() ? "" : ", ") + name;
  return out.empty() ? "none" : out;
}

double positive(const Json& profile, const char* key, const std::string& path, bool required) {
  const auto found = profile.find(key);
  if (found == profile.end() || found->is_null()) {
    if (!required) return 0;
    throw input_error("bench", path, "has no \"{}\"; a hardware profile states name, memory_bytes, memory_bandwidth_gb_s and fp16_tflops", key);
  }
  if (!found->is_number() || !(found->get<double>() > 0)) throw input_error("bench", path, "\"{}\" is {}, expected a number above 0", key, found->dump());
  return found->get<double>();
}

// Room that a run time needs besides weights, cache and activations: context, kernels, the allocator's slack.
constexpr uint64_t kRuntimeBytes = 600ull << 20;

bool is_embedding(const std::string& name) { return name == kEmbedding || name == "token_embd.weight"; }
}  // namespace

Hardware load_hardware(const std::string& name) {
  const bool is_path = name.ends_with(".json");
  if (!is_path && name.find('/') != std::string::npos) throw usage_error("bench", "--hw", "\"{}\" is not a name; known: {}; or pass a profile's path, ending in .json", name, known_hardware());
  const std::string path = is_path ? name : path_join(hardware_directory(), name + ".json");
  if (!path_exists(path)) throw usage_error("bench", "--hw", "\"{}\" is unknown; known: {}; or pass a profile's path, ending in .json", name, known_hardware());
  const Json profile = read_json_file(path, "bench", 1 << 20);
  if (!profile.is_object()) throw input_error("bench", path, "is not an object; is this a hardware profile?");
  Hardware out;
  out.name = is_path ? std::filesystem::path(name).stem().string() : name;
  out.title = profile.contains("name") && profile["name"].is_string() ? profile["name"].get<std::string>() : out.name;
  out.memory_bytes = uint64_t(positive(profile, "memory_bytes", path, true));
  out.memory_gb_s = positive(profile, "memory_bandwidth_gb_s", path, true);
  out.fp16_tflops = positive(profile, "fp16_tflops", path, true);
  out.int8_tops = positive(profile, "int8_tops", path, false);
  if (const auto match = profile.find("match"); match != profile.end() && match->is_array())
    for (const auto& part : *match)
      if (part.is_string() && !part.get_ref<const std::string&>().empty()) out.match.push_back(part);
  return out;
}

bool is_hardware(const Hardware& hardware, const std::string& device_name) {
  const auto contains = [&](const std::string& part) { return device_name.find(part) != std::string::npos; };
  return !device_name.empty() && std::any_of(hardware.match.begin(), hardware.match.end(), contains);
}

ModelCost model_cost(const Runner& runner) {
  const auto& spec = runner.spec();
  const auto& source = runner.source();
  ModelCost out;
  out.file_bytes = source.total_bytes();
  out.decode_bytes = out.file_bytes;
  if (!spec.tied)
    for (const auto& tensor : source.tensors())
      if (is_embedding(tensor.name)) out.decode_bytes -= std::min(out.decode_bytes, tensor.bytes);
  out.kv_bytes_per_token = uint64_t(2 * spec.layers * spec.kv_heads * spec.head_dim) * 2;
  out.macs_per_token = runner.macs_per_token();
  out.attention_macs = 2.0 * double(spec.layers * spec.heads * spec.head_dim);
  out.activation_bytes = uint64_t(std::max(spec.intermediate * 2, spec.hidden * 4)) * 2;
  out.int8_activations = runner.quant().method == "compressed-tensors" && runner.quant().raw.dump().find("\"input_activations\":{") != std::string::npos;
  return out;
}

Efficiency clamp_efficiency(double bandwidth, double compute, bool cache_resident) {
  Efficiency out;
  const auto clamp = [](double x) { return std::isfinite(x) && x > 0 ? std::min(x, 1.0) : 1.0; };
  out.bandwidth = clamp(bandwidth);
  out.compute = clamp(compute);
  const auto shown = [](double measured, double used) {
    return std::isfinite(measured) && measured > 0 ? fmt::format("{:.2f}{}", used, measured > 1 ? fmt::format(" (measured {:.2f}, counted as 1)", measured) : "") : std::string("1 (not measured here)");
  };
  out.note = fmt::format("efficiency measured on this machine: {} of its read bandwidth in decode, {} of its matrix product rate in prefill", shown(bandwidth, out.bandwidth),
                         shown(compute, out.compute));
  if (cache_resident) out.note += "; the weights fit this machine's cache, so the bandwidth figure says little";
  return out;
}

Projection project(const Hardware& hardware, const ModelCost& cost, const Efficiency& efficiency, const CaseSpec& spec) {
  const double bytes_per_s = hardware.memory_gb_s * 1e9 * efficiency.bandwidth;
  const double peak = cost.int8_activations && hardware.int8_tops > 0 ? hardware.int8_tops : hardware.fp16_tflops;
  const double ops_per_s = peak * 1e12 * efficiency.compute;
  const double B = double(spec.batch), P = double(spec.prompt), G = double(spec.generate), D = double(spec.depth);
  Projection out;
  if (spec.prompt > 0) {
    const double macs = B * P * (double(cost.macs_per_token) + cost.attention_macs * (D + P / 2));
    const double bytes = double(cost.decode_bytes) + B * (D + P) * double(cost.kv_bytes_per_token);
    out.prefill_s = std::max(bytes / bytes_per_s, 2 * macs / ops_per_s);
  }
  if (spec.generate > 0) {
    const double cached = D + P + G / 2;  // tokens in the cache, in the middle of the answer
    const double memory_s = (double(cost.decode_bytes) + B * cached * double(cost.kv_bytes_per_token)) / bytes_per_s;
    const double compute_s = 2 * B * (double(cost.macs_per_token) + cost.attention_macs * cached) / ops_per_s;
    out.step_s = std::max(memory_s, compute_s);
    out.bound = memory_s >= compute_s ? "bandwidth" : "compute";
  }
  out.response_s = spec.prompt > 0 ? out.prefill_s + std::max(0.0, G - 1) * out.step_s : G * out.step_s;
  const double tokens = B * (D + P + G);
  out.memory_bytes = cost.file_bytes + uint64_t(tokens * double(cost.kv_bytes_per_token)) + uint64_t(B * std::max(P, 1.0) * double(cost.activation_bytes)) + kRuntimeBytes;
  out.fits = out.memory_bytes <= hardware.memory_bytes;
  return out;
}

}  // namespace teeny
