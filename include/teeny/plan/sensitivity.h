// How much the model's output suffers when one weight alone is quantized, by candidate encoding: what mixed precision is
// solved over, and the file that keeps it (docs/formats.md section 9). Losses are mean KLD against the original model, in
// nats a token, on calibration text that was held back from fitting.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "teeny/containers/source.h"
#include "teeny/core/json.h"

namespace teeny {

struct CandidateLoss {
  std::string label;          // candidate_label(): "q4_k", "w4_g128_sym", "plain"
  double bits_per_weight = 0;
  double kld = 0;             // >= 0
  double output_error = 0;    // squared error of the linear's outputs on the held-back text, relative to their square
  bool measured = false;      // by running the model; else kld is the measured one of another candidate, scaled by output_error
  bool importance = false;    // the GGML search did better on the held-back text with importance than without
};

// Weights that get one encoding: one tensor in GGUF; elsewhere q, k, v together, gate and up together.
struct SensitivityGroup {
  std::string name;                  // "model.layers.0.self_attn.qkv_proj"
  std::vector<std::string> modules;  // canonical, without ".weight"
  std::vector<CandidateLoss> candidates;
};

// The whole model in one candidate: what the sum over the groups predicts, and what it is.
struct SumCheck {
  std::string label;
  double predicted = 0, measured = 0;  // KLD
  double perplexity_increase = 0;      // ratio - 1, measured
};

struct Sensitivity {
  std::string fingerprint, name;       // weights_fingerprint of the model that was measured
  int64_t parameters = 0;
  std::string method, format;
  Json calibration;                    // as in a record
  int64_t windows = 0, tokens = 0;     // of the held-back text
  std::vector<SensitivityGroup> groups;
  std::vector<SumCheck> checks;        // by rising KLD

  // KLD of a model whose groups' losses add up to `sum`: errors of layers are not quite independent, so the sum is corrected
  // by the checks (ratio interpolated over log sum, the outer ones beyond them).
  double total(double sum) const;
};

// SHA-256 over names, types, shapes and the first 4096 bytes of every tensor: the same for every copy of a model, other for
// one that was trained on. "" for a source without tensors (config.json alone).
std::string weights_fingerprint(const TensorSource& source);

Json sensitivity_json(const Sensitivity& sensitivity);
// Input error naming `subject` and the field for anything that is not such a file: wrong types, numbers that are negative or
// not finite, no groups, names twice.
Sensitivity parse_sensitivity(std::string_view text, std::string_view subject);
Sensitivity read_sensitivity(const std::string& path);

}  // namespace teeny
