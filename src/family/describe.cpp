#include "teeny/family/describe.h"

#include <map>

#include <fmt/format.h>

namespace teeny {
namespace {

// general.file_type of GGUF files (formats.md) and the bits that people name the type by.
struct FileType {
  int64_t id;
  const char* name;
  int bits;
};
constexpr FileType kFileTypes[] = {{0, "F32", 32},    {1, "F16", 16},    {2, "Q4_0", 4},    {3, "Q4_1", 4},    {7, "Q8_0", 8},   {8, "Q5_0", 5},    {9, "Q5_1", 5},
                                   {10, "Q2_K", 2},   {11, "Q3_K_S", 3}, {12, "Q3_K_M", 3}, {13, "Q3_K_L", 3}, {14, "Q4_K_S", 4}, {15, "Q4_K_M", 4}, {16, "Q5_K_S", 5},
                                   {17, "Q5_K_M", 5}, {18, "Q6_K", 6},   {25, "IQ4_NL", 4}, {30, "IQ4_XS", 4}, {32, "BF16", 16}};

std::string sha256_of(const TensorSource& source) {
  if (source.files().size() == 1) return sha256_file(source.files()[0].path());
  std::string digests;
  for (const auto& file : source.files()) digests += sha256_file(file.path()) + "\n";
  return sha256_hex(digests);
}

// The width of the plain tensors, when most bytes share one.
int plain_bits(const TensorSource& source) {
  std::map<int64_t, uint64_t> bytes;
  for (const auto& tensor : source.tensors())
    if (traits(tensor.dtype).scalar()) bytes[8 * traits(tensor.dtype).bytes] += tensor.bytes;
  int64_t best = 16;
  uint64_t most = 0;
  for (const auto& [bits, sum] : bytes)
    if (sum > most) best = bits, most = sum;
  return int(best);
}

void describe_gguf(const TensorSource& source, Json& out) {
  out["format"] = "gguf";
  out["bits"] = plain_bits(source);
  const auto type = source.gguf()->integer("general.file_type");
  if (!type) return;
  for (const auto& known : kFileTypes)
    if (known.id == *type) {
      out["type"] = known.name;
      out["bits"] = known.bits;
      if (known.bits < 16) out["method"] = "gguf";
    }
}

void describe_checkpoint(const TensorSource& source, const QuantConfig& quant, Json& out) {
  if (quant.method.empty()) {
    out["format"] = "safetensors";
    out["bits"] = plain_bits(source);
    return;
  }
  out["method"] = quant.method;
  out["bits"] = quant.bits;
  out["group"] = quant.group;
  out["symmetric"] = quant.symmetric;
  if (quant.method == "bitsandbytes" && quant.bits == 4) out["type"] = quant.format;
  out["format"] = quant.method == "gptq" && quant.format == "gptq_v2" ? "gptq-v2" : quant.method;
  if (quant.act_bits < 16) out["act_bits"] = quant.act_bits;
  // What teeny writes beside the interchange keys: the container does not say which method chose the numbers.
  const bool inside = quant.raw.contains("meta");
  const Json& config = inside ? quant.raw : source.config();
  const auto meta = config.find(inside ? "meta" : "teeny_quantization");
  if (meta == config.end() || !meta->is_object()) return;
  if (const auto method = meta->find("teeny_method"); method != meta->end() && method->is_string()) out["method"] = *method;
  if (const auto granularity = meta->find("granularity"); granularity != meta->end() && granularity->is_string()) out["granularity"] = *granularity;
}
}  // namespace

Json describe_model(const TensorSource& source, const ModelSpec& spec, const QuantConfig& quant, bool hash) {
  const int64_t parameters = spec.parameters();
  const uint64_t bytes = source.total_bytes();
  Json out = {{"path", source.path()},
              {"name", spec.name},
              {"family", spec.family},
              {"parameters", parameters},
              {"fingerprint", fingerprint(source)},
              {"sha256", hash ? Json(sha256_of(source)) : Json(nullptr)},
              {"method", nullptr},
              {"bits", nullptr},
              {"group", nullptr},
              {"symmetric", nullptr},
              {"format", nullptr},
              {"type", nullptr},
              {"bytes", bytes},
              {"bits_per_weight", parameters > 0 ? Json(8.0 * double(bytes) / double(parameters)) : Json(nullptr)},
              {"act_bits", nullptr}};
  source.kind() == ContainerKind::Gguf ? describe_gguf(source, out) : describe_checkpoint(source, quant, out);
  return out;
}

}  // namespace teeny
