// Fuzz target: any bytes as a quantization config, matched against module names, and as the state of a 4-bit weight of
// bitsandbytes. Only Input errors may come out, and numbers within the bounds that later code relies on.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "fake_source.h"
#include "teeny/core/error.h"
#include "teeny/family/stored.h"

using namespace teeny;

namespace {
void require(bool ok) {
  if (!ok) std::abort();
}

void check_scheme(int bits, int64_t group) {
  require(bits >= 2 && bits <= 8);
  require(group == -1 || group > 0);
}

void read_config(std::string_view text) {
  Json config;
  try {
    config = parse_json(text, "fuzz", "fuzz");
  } catch (const Error& error) {
    require(error.kind() == ErrorKind::Input);
    return;
  }
  test::FakeSource source(ContainerKind::Safetensors, "/nonexistent/model.safetensors");
  source.set_config({{"quantization_config", config}});
  const QuantConfig quant = read_quant_config(source);
  if (quant.method.empty()) return;
  check_scheme(quant.bits, quant.group);
  for (const char* module : {"model.layers.0.self_attn.q_proj", "model.layers.11.mlp.down_proj", "lm_head", "model.embed_tokens"})
    if (const auto scheme = scheme_of(quant, module)) check_scheme(scheme->bits, scheme->group);
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    read_config(text);
  } catch (const Error& error) {
    require(error.kind() == ErrorKind::Input);
  }
  try {
    const auto state = parse_bnb4_state(text, "fuzz");
    require(state.block > 0 && state.nested_block > 0 && state.shape.size() == 2 && state.shape[0] > 0 && state.shape[1] > 0);
  } catch (const Error& error) {
    require(error.kind() == ErrorKind::Input);
  }
  return 0;
}
