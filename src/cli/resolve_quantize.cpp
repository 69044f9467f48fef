// What the plan leaves to the command line: --type and --bits that contradict each other, and the name of the output.
#include "cli/resolve.h"
#include "teeny/core/error.h"

namespace teeny::cli {
namespace {

struct GgufType {
  const char* name;
  int bits;
  bool default_of_bits;
};

constexpr GgufType kGgufTypes[] = {{"F32", 16, false},   {"F16", 16, true},     {"BF16", 16, false},  {"Q8_0", 8, true},    {"Q6_K", 6, true},
                                   {"Q5_K_M", 5, true},  {"Q5_K_S", 5, false},  {"Q5_0", 5, false},   {"Q5_1", 5, false},   {"Q4_K_M", 4, true},
                                   {"Q4_K_S", 4, false}, {"Q4_0", 4, false},    {"Q4_1", 4, false},   {"IQ4_NL", 4, false}, {"IQ4_XS", 4, false},
                                   {"Q3_K_L", 3, false}, {"Q3_K_M", 3, true},   {"Q3_K_S", 3, false}, {"Q2_K", 2, true}};

}  // namespace

void settle_type(QuantizeOptions& options) {
  if (options.type.empty()) return;
  if (options.method != "gguf" && options.format != "gguf")
    throw usage_error("usage", "--type", "{} is a GGUF type; it goes with --method gguf (or --format gguf), not with --method {}", options.type, options.method);
  for (const auto& type : kGgufTypes) {
    if (options.type != type.name) continue;
    if (options.bits != 0 && options.bits != type.bits)
      throw usage_error("usage", "--bits", "{} contradicts --type {}, which has {}; leave one of them out", options.bits, options.type, type.bits);
    options.bits = type.bits;
  }
}

std::string output_name(const Plan& plan, const std::string& stem) {
  if (plan.container != ContainerKind::Gguf || plan.mix) return default_output(plan, stem);
  std::string name = fmt::format("./{}-{}-{}bit", stem, plan.method, plan.bits);
  for (const auto& type : kGgufTypes)
    if (type.default_of_bits && type.bits == plan.bits && plan.type != type.name) name += "-" + plan.type;
  return name + ".gguf";
}

}  // namespace teeny::cli
