// From what was typed to what is meant: model paths, output names, defaults of `quantize`, hardware profiles. Nothing but
// the hub's cache is written here; every refusal happens before any work.
#pragma once
#include <string>
#include <vector>

#include "teeny/core/engine.h"
#include "teeny/plan/plan.h"

namespace teeny::cli {

// An existing path as typed; a shipped model's name as its directory; "" as the shipped model; an id of the Hugging Face
// hub (org/name) as its place in the cache, downloaded when it is not there. Input error for what does not exist.
// config_only: a hub's weights are not needed, a plan is all that is made.
std::string resolve_model(const std::string& typed, Context& context, bool config_only = false);
// An existing path, "self" and "" as typed; a file of a hub's data set (org/name:path) as its place in the cache.
std::string resolve_calibration(const std::string& typed, Context& context);
std::string model_stem(const std::string& path);  // "teeny-demo-7m" of a directory or a file

// --type fills --bits, or contradicts it (Usage). Everything else is settled by the plan.
void settle_type(QuantizeOptions& options);
std::string output_name(const Plan& plan, const std::string& stem);  // "./teeny-demo-7m-gguf-4bit-Q4_K_S.gguf"

struct OutputCheck {
  std::string out;
  bool force = false;
  std::vector<std::string> inputs;  // files and directories that are read: never overwritten
};
void check_output(const OutputCheck& check);  // Usage: exists without --force, is an input, holds an input, is no model
void require_file(const std::string& path, const std::string& option);  // Input: missing or a directory; "" passes

// "auto" -> "cuda:0" where this build has CUDA and the machine a GPU, else "cpu"; "cuda" -> "cuda:0". Usage otherwise.
std::string resolve_device(const std::string& typed);

std::vector<std::string> hardware_profiles();       // names of configs/hw/*.json
void require_hardware(const std::string& name);     // a profile, or a path ending in .json; else Usage error that lists them

}  // namespace teeny::cli
