#include "teeny/plan/work.h"

#include <algorithm>

#include "teeny/core/error.h"
#include "teeny/core/file.h"

namespace teeny {
namespace {

// What operations reach of the full speed of multiply-adds in registers, and what one pass over an element costs in them:
// measured once with scripts/time_estimate.sh, on x86 with AVX-512 and libtorch's MKL. Rough elsewhere.
constexpr double kProduct = 0.47;      // large matrix products
constexpr double kFactor = 0.35;       // Cholesky and triangular inverse
constexpr double kLoop = 0.012;        // column loops of our own
constexpr double kPass = 240;          // one element read, changed and written
constexpr double kDecodeProduct = 0.30;  // products of few rows
constexpr double kSearchAWeight = 6000;  // the search of a GGML block type, a weight
constexpr double kBytesASecond = 1e9;  // weights read, codes written

double square(double x) { return x * x; }

struct Shapes {
  double per_input[4] = {};   // sum of N * K of the linears that read it
  double per_input_nk2[4] = {};
  double K[4] = {};
  double weights = 0;
};

Shapes shapes_of(const ModelSpec& spec) {
  Shapes s;
  for (const auto& slot : kLinears) {
    const auto [N, K] = linear_shape(spec, slot.module);
    s.per_input[slot.input] += double(N) * double(K), s.per_input_nk2[slot.input] += double(N) * square(double(K));
    s.K[slot.input] = double(K);
    s.weights += double(N) * double(K);
  }
  return s;
}

// One pass of all tokens through a block, up to the inputs that are wanted.
double forward(const ModelSpec& spec, const Shapes& s, double tokens, double length, int up_to) {
  double flops = 0;
  for (int input = 0; input < up_to; ++input) flops += 2 * tokens * s.per_input[input];
  if (up_to > 0) flops += 2 * tokens * length * double(spec.heads * spec.head_dim);
  return flops / kProduct + tokens * double(spec.hidden) * 20 * kPass;
}

double statistics(const Shapes& s, double tokens, int input, bool gram) { return (gram ? tokens * square(s.K[input]) / kProduct : 0) + tokens * s.K[input] * 6 * kPass; }

void add_gptq(Work& work, const Plan& plan, const Shapes& s, const QuantizeOptions& o, double tokens, double length) {
  for (int input = 0; input < 4; ++input) {
    work.calibrate += statistics(s, tokens, input, true);
    if (o.true_sequential) work.calibrate += forward(plan.spec, s, tokens, length, input);
    work.solve += 2.0 / 3 * square(s.K[input]) * s.K[input] / kFactor;
    // The update of the one pass, the residual and two sweeps of descent, and the output error for the record.
    work.solve += 11 * s.per_input_nk2[input] / kProduct;
    work.solve += s.per_input[input] * (6 * double(std::min<double>(double(o.block), s.K[input])) / kLoop + (o.mse ? 80 * 5 : 5) * kPass);
  }
  if (!o.true_sequential) work.calibrate += forward(plan.spec, s, tokens, length, 3);
}

// AWQ's search looks at some rows of a large weight.
Shapes searched_shapes(const ModelSpec& spec, int64_t rows) {
  Shapes s;
  for (const auto& slot : kLinears) {
    const auto [N, K] = linear_shape(spec, slot.module);
    const int64_t every = std::max<int64_t>(1, N / rows), looked_at = (N + every - 1) / every;
    s.per_input[slot.input] += double(looked_at) * double(K), s.per_input_nk2[slot.input] += double(looked_at) * square(double(K));
  }
  return s;
}

void add_awq(Work& work, const Plan& plan, const Shapes& s, const QuantizeOptions& o, double tokens, double length) {
  const Shapes searched = searched_shapes(plan.spec, o.search_rows);
  work.calibrate += forward(plan.spec, s, tokens, length, 3);
  const double attempts = o.grid + (o.duo_scaling ? 2 * o.grid + 12 : 6), ranges = o.clip ? 60 : 1;
  const double group = plan.group > 0 ? double(plan.group) : 0;
  for (int input = 0; input < 4; ++input) {
    work.calibrate += statistics(s, tokens, input, true);
    work.solve += attempts * (2 * searched.per_input_nk2[input] / kProduct + searched.per_input[input] * 10 * kPass);
    work.solve += 3 * (2 * s.per_input_nk2[input] / kProduct + s.per_input[input] * 10 * kPass);  // the errors before and after, of all rows
    work.solve += ranges * s.per_input[input] * (2 * (group > 0 ? group : s.K[input]) / kProduct + 10 * kPass) + 10 * s.per_input_nk2[input] / kProduct;
  }
}

void add_activations(Work& work, const Plan& plan, const Shapes& s, const QuantizeOptions& o, double tokens, double length) {
  constexpr double kSample = 1024, kAlphas = 11;
  work.calibrate += forward(plan.spec, s, tokens + kSample, length, 3);
  for (int input = 0; input < 4; ++input) {
    work.calibrate += statistics(s, tokens, input, false);
    if (o.smooth < 0) work.solve += kAlphas * s.per_input[input] * (2 * kSample / kProduct + 10 * kPass);
  }
}

// Tokens drawn one after the other, sequences side by side; a third more than is kept.
double own_text(const Plan& plan, double tokens) {
  const auto& spec = plan.spec;
  const double drawn = 4.0 / 3 * tokens, layers = double(spec.layers);
  const double products = 2 * (layers * shapes_of(spec).weights + double(spec.vocab) * double(spec.hidden));
  return drawn * (products / kDecodeProduct + double(spec.vocab) * 8 * kPass + layers * double(spec.hidden) * 60 * kPass);
}

}  // namespace

Work count_work(const Plan& plan, const QuantizeOptions& options, bool self) {
  Work work;
  const Shapes s = shapes_of(plan.spec);
  const double length = double(options.seq_len), tokens = double(options.samples) * length, layers = double(plan.spec.layers);
  for (const auto& tensor : plan.tensors)
    if (tensor.weight) work.solve += double(tensor.N) * double(tensor.K) * (tensor.encoding.kind == EncodingKind::Ggml && tensor.method == "search" ? kSearchAWeight : 4 * kPass);
  work.bytes = plan.bytes + uint64_t(plan.spec.parameters()) * 2;
  if (!plan.calibrated) return work;
  Work block;
  if (plan.method == "gptq") add_gptq(block, plan, s, options, tokens, length);
  else if (plan.method == "awq") add_awq(block, plan, s, options, tokens, length);
  else if (plan.method == "gguf") block.calibrate += forward(plan.spec, s, tokens, length, 3) + statistics(s, tokens, 3, false);
  if (plan.act_bits == 8) add_activations(block, plan, s, options, tokens, length);
  block.calibrate += forward(plan.spec, s, tokens, length, 4);  // on to the next block
  work.calibrate += layers * block.calibrate, work.solve += layers * block.solve;
  if (plan.method != "gguf" && !options.save_importance.empty()) work.calibrate += layers * 2 * forward(plan.spec, s, tokens, length, 4);
  if (self) work.write_text = own_text(plan, tokens);
  return work;
}

double expected_seconds(const Work& work, const MachineSpeed& speed) { return work.total() / std::max(speed.flops, 1e6) + double(work.bytes) / kBytesASecond; }

std::string default_calibration(const std::string& directory) {
  if (!directory.empty())
    if (const auto beside = path_join(directory, "calibration.txt"); path_exists(beside)) return beside;
  return "self";
}

void check_self_calibration(const QuantizeOptions& options, const std::string& subject, double seconds) {
  if (!options.calibration.empty() || seconds <= kLongestSelfSeconds) return;
  throw usage_error("calibration", subject, "has no text beside it, and a run for which the model writes its own is estimated at {:.0f} minutes; pass --calibration FILE, fewer --samples or "
                    "a shorter --seq-len, or --calibration self to take that time", seconds / 60);
}

}  // namespace teeny
