// Mixed precision: from measured losses and a target to a plan.
#include "teeny/plan/mix.h"

#include <algorithm>
#include <cmath>

#include "plan/knapsack.h"
#include "plan/picks.h"
#include "teeny/core/error.h"
#include "teeny/family/names.h"
#include "teeny/family/tokenizer_source.h"
#include "teeny/containers/sink.h"
#include "teeny/plan/gguf_mix.h"

namespace teeny {
namespace {

constexpr uint64_t kShardBytes = 5'000'000'000;

std::string readable(uint64_t bytes) { return bytes < 10'000'000 ? fmt::format("{} bytes", bytes) : fmt::format("{:.3f} GB", double(bytes) / 1e9); }

// What was typed.
std::string target_option(const QuantizeOptions& o) {
  if (o.target_bpw >= 0) return fmt::format("--target-bpw {:g}", o.target_bpw);
  if (o.target_bytes) return fmt::format("--target-size {}", readable(o.target_bytes));
  return fmt::format("--max-ppl-increase {:g}", o.max_ppl_increase);
}

std::string target_text(const QuantizeOptions& o) {
  if (o.target_bpw >= 0) return fmt::format("{:g} bits per weight", o.target_bpw);
  if (o.target_bytes) return readable(o.target_bytes);
  return fmt::format("{:g} % more perplexity", o.max_ppl_increase);
}

std::string target_label(const QuantizeOptions& o) {
  if (o.target_bpw >= 0) return fmt::format("{:g}bpw", o.target_bpw);
  if (o.target_bytes) return o.target_bytes < 1'000'000'000 ? fmt::format("{:.4g}MB", double(o.target_bytes) / 1e6) : fmt::format("{:.4g}GB", double(o.target_bytes) / 1e9);
  return fmt::format("ppl{:g}", o.max_ppl_increase);
}

// The groups with their losses; what the file does not know is no candidate.
struct Problem {
  std::vector<MixGroup> groups;
  std::vector<KnapsackItem> items;
  std::vector<std::vector<const CandidateLoss*>> losses;  // nullptr: not quantized
  uint64_t fixed_bytes = 0;  // of the tensors that no group holds
  uint64_t least = 0, most = 0;  // of all tensors
};

void keep_candidates(MixGroup& group, const std::vector<bool>& keep) {
  std::vector<MixCandidate> kept;
  for (size_t c = 0; c < keep.size(); ++c)
    if (keep[c]) kept.push_back(std::move(group.candidates[c]));
  group.candidates = std::move(kept);
}

void add_ranges(Problem& problem, const Plan& base) {
  problem.fixed_bytes = base.bytes;
  for (const auto& group : problem.groups) {
    const auto [low, high] = std::minmax_element(group.candidates.begin(), group.candidates.end(), [](const auto& a, const auto& b) { return a.bytes < b.bytes; });
    problem.least += low->bytes, problem.most += high->bytes;
    for (const auto& module : group.modules)
      for (const auto& tensor : base.tensors)
        if (tensor.weight && tensor.module == module) problem.fixed_bytes -= tensor.bytes;
  }
  problem.least += problem.fixed_bytes, problem.most += problem.fixed_bytes;
}

Problem problem_of(const Plan& base, const QuantizeOptions& options, const Sensitivity& sensitivity) {
  Problem problem{mix_groups(base, options.candidates), {}, {}, 0, 0, 0};
  for (auto& group : problem.groups) {
    const auto found = std::find_if(sensitivity.groups.begin(), sensitivity.groups.end(), [&](const auto& g) { return g.modules == group.modules; });
    if (found == sensitivity.groups.end())
      throw input_error("sensitivity", group.name, "was not measured (the file is of --format {}, --method {}); measure it with --save-sensitivity and this format",
                        printable(sensitivity.format), printable(sensitivity.method));
    KnapsackItem item;
    std::vector<const CandidateLoss*> losses;
    std::vector<bool> keep;
    for (const auto& candidate : group.candidates) {
      const auto loss = std::find_if(found->candidates.begin(), found->candidates.end(), [&](const auto& c) { return c.label == candidate.label; });
      keep.push_back(candidate.plain || loss != found->candidates.end());
      if (!keep.back()) continue;
      losses.push_back(candidate.plain ? nullptr : &*loss);
      item.push_back({candidate.bytes, candidate.plain ? 0 : loss->kld});
    }
    if (std::count_if(losses.begin(), losses.end(), [](const auto* l) { return l != nullptr; }) == 0 && std::any_of(group.candidates.begin(), group.candidates.end(), [](const auto& c) { return !c.plain; }))
      throw input_error("sensitivity", group.name, "has none of the encodings of --format {} here ({} is in the file); measure it with --save-sensitivity and these options", base.format,
                        printable(found->candidates[0].label));
    keep_candidates(group, keep);
    problem.items.push_back(std::move(item)), problem.losses.push_back(std::move(losses));
  }
  add_ranges(problem, base);
  return problem;
}

uint64_t bytes_of_bpw(double bpw, const ModelSpec& spec) { return uint64_t(bpw * double(spec.parameters()) / 8); }

// Throws when no choice has between `least` and `most` bytes of tensors; `beside`: what the files have beyond these.
void check_reach(const QuantizeOptions& options, const Plan& base, const Problem& problem, uint64_t beside) {
  const auto refuse = [&](const char* what) {
    const double scale = 8.0 / double(base.spec.parameters());
    const std::string range = options.target_bpw >= 0 ? fmt::format("{:.3f} to {:.3f} bits per weight", std::ceil(double(problem.least) * scale * 1000) / 1000, double(problem.most) * scale)
                                                       : fmt::format("{} to {}", readable(problem.least + beside), readable(problem.most + beside));
    const char* advice = what[0] == 'b' ? "; ask for more, or for another --format or --method with smaller encodings" : "; ask for less, or leave the model as it is";
    throw input_error("quantize", target_option(options), "is {} what {} can be here: {}{}", what, base.format, range, advice);
  };
  if (options.target_bpw < 0 && !options.target_bytes) return;
  const uint64_t limit = options.target_bpw >= 0 ? bytes_of_bpw(options.target_bpw, base.spec) : options.target_bytes > beside ? options.target_bytes - beside : 0;
  if (limit < problem.least) refuse("below");
  if (limit > problem.most + (options.target_bpw >= 0 ? uint64_t(base.spec.parameters()) / 800 : problem.most / 100)) refuse("above");
}

// Largest sum of losses whose corrected total stays within `kld`.
double sum_for_total(const Sensitivity& sensitivity, double kld) {
  double low = 0, high = std::max(kld, 1e-9);
  while (sensitivity.total(high) <= kld && high < 1e6) high *= 2;
  for (int i = 0; i < 100; ++i) {
    const double middle = (low + high) / 2;
    (sensitivity.total(middle) <= kld ? low : high) = middle;
  }
  return low;
}

MixPicks picks_of(const Problem& problem, const std::vector<size_t>& choice) {
  MixPicks picks;
  for (size_t g = 0; g < problem.groups.size(); ++g) {
    const auto* loss = problem.losses[g][choice[g]];
    for (const auto& module : problem.groups[g].modules) picks[module] = {problem.groups[g].candidates[choice[g]].encoding, !loss || loss->importance};
  }
  return picks;
}

std::vector<size_t> solve_loss(const Problem& problem, const QuantizeOptions& options, const Sensitivity& sensitivity) {
  const auto choice = fewest_bytes(problem.items, sum_for_total(sensitivity, std::log1p(options.max_ppl_increase / 100)));
  if (!choice.empty()) return choice;
  double least = 0;
  for (const auto& item : problem.items) least += std::min_element(item.begin(), item.end(), [](const auto& a, const auto& b) { return a.loss < b.loss; })->loss;
  throw input_error("quantize", target_option(options), "is out of reach: with these candidates at least {:.3g} % are expected; allow more, or more --candidates",
                    100 * std::expm1(sensitivity.total(least)));
}

Plan solved(const TensorSource& source, const ModelSpec& spec, const QuantizeOptions& options, const Sensitivity& sensitivity, const Plan& base) {
  const Problem problem = problem_of(base, options, sensitivity);
  if (problem.groups.empty()) throw usage_error("quantize", target_option(options), "has nothing to choose: the recipe decides every weight");
  uint64_t beside = options.target_bytes ? file_bytes(base, source, options) - base.bytes : 0;
  check_reach(options, base, problem, beside);
  for (;;) {
    std::vector<size_t> choice;
    if (options.target_bpw >= 0) choice = least_loss(problem.items, bytes_of_bpw(options.target_bpw, spec) - problem.fixed_bytes);
    else if (options.target_bytes) choice = least_loss(problem.items, options.target_bytes - std::min(options.target_bytes, beside) - problem.fixed_bytes);
    else choice = solve_loss(problem, options, sensitivity);
    if (choice.empty()) check_reach(options, base, problem, beside);
    Plan plan = plan_with(source, spec, options, picks_of(problem, choice));
    PlannedMix mix;
    mix.target = target_text(options), mix.label = target_label(options), mix.solved = true;
    mix.kld = sensitivity.total(loss_of(problem.items, choice));
    mix.ppl_increase = std::expm1(mix.kld);
    mix.least_bytes = problem.least, mix.most_bytes = problem.most;
    plan.mix = mix;
    if (!options.target_bytes) return plan;
    // Headers grow with the names of types and parts: solve again with what they really take.
    const uint64_t real = file_bytes(plan, source, options);
    if (real <= options.target_bytes) return plan;
    beside = std::max(beside + 1, real - plan.bytes);
    check_reach(options, base, problem, beside);
  }
}

void check_model(const TensorSource& source, const ModelSpec& spec, const Sensitivity& sensitivity) {
  const std::string fingerprint = weights_fingerprint(source);
  if (sensitivity.parameters != spec.parameters() || (!fingerprint.empty() && sensitivity.fingerprint != fingerprint))
    throw input_error("sensitivity", printable(sensitivity.name), "is the model that was measured ({} parameters), {} is another one; measure it with --save-sensitivity", sensitivity.parameters,
                      source.path());
}

std::vector<TensorSpec> stored_tensors(const Plan& plan) {
  std::vector<TensorSpec> specs;
  for (const auto& tensor : plan.tensors)
    for (const auto& part : tensor.parts) specs.push_back({part.suffix, part.dtype, part.shape});
  return specs;
}

}  // namespace

bool wants_mix(const QuantizeOptions& o) { return o.target_bpw >= 0 || o.target_bytes || o.max_ppl_increase >= 0; }
bool wants_measuring(const QuantizeOptions& o) { return (wants_mix(o) && o.sensitivity.empty()) || !o.save_sensitivity.empty(); }

void check_mix(const QuantizeOptions& options, const Choice& choice) {
  const bool mix = wants_mix(options);
  if (!options.sensitivity.empty() && !mix) throw usage_error("quantize", "--sensitivity", "is what a target is solved over; pass --target-bpw, --target-size or --max-ppl-increase with it");
  if (!options.sensitivity.empty() && !options.save_sensitivity.empty()) throw usage_error("quantize", "--sensitivity --save-sensitivity", "contradict each other: either they are read or measured");
  if (!options.candidates.empty() && !mix && options.save_sensitivity.empty()) throw usage_error("quantize", "--candidates", "are what a target chooses from; pass --target-bpw, --target-size or --max-ppl-increase");
  if (!mix && options.save_sensitivity.empty()) return;
  const std::string subject = mix ? target_option(options) : "--save-sensitivity";
  if ((options.target_bpw >= 0) + (options.target_bytes > 0) + (options.max_ppl_increase >= 0) > 1)
    throw usage_error("quantize", "--target-bpw, --target-size, --max-ppl-increase", "are three targets for one choice; give one of them");
  if (mix && !options.type.empty()) throw usage_error("quantize", subject + " --type " + options.type, "contradict each other: the target chooses the types; leave --type out, or name --candidates");
  if (mix && options.bits) throw usage_error("quantize", fmt::format("{} --bits {}", subject, options.bits), "contradict each other: the target chooses the bits; leave --bits out, or name --candidates");
  const bool mixes = choice.format == "gguf" || choice.format == "gptq" || choice.format == "gptq-v2" || choice.format == "compressed-tensors";
  if (!mixes || choice.method == "fp16" || choice.method == "bf16" || choice.method == "int8")
    throw input_error("quantize", fmt::format("{} --method {} --format {}", subject, choice.method, choice.format),
                      "cannot be combined: all weights have the same bits there; use --method gptq, rtn or awq with --format gptq, gptq-v2 or compressed-tensors, or --method gguf");
  if (choice.act_bits != 16) throw input_error("quantize", subject + " --act-bits 8", "cannot be combined: int8 activations go with 8 bits everywhere; leave one of them out");
  if (!options.sparsity.empty()) throw input_error("quantize", subject + " --sparsity " + options.sparsity, "cannot be combined: sensitivities are measured without pruning; leave one of them out");
}

uint64_t file_bytes(const Plan& plan, const TensorSource& source, const QuantizeOptions& options) {
  const auto specs = stored_tensors(plan);
  if (plan.container != ContainerKind::Gguf) return safetensors_file_bytes(specs, options.shard_bytes ? options.shard_bytes : kShardBytes);
  GgufMetadata metadata;
  write_gguf_model_keys(plan.spec, metadata);
  metadata.set_u32("general.file_type", 0);
  metadata.set_u32("general.quantization_version", 2);
  // Where importance came from is written too: a path of at most that length, twice.
  const size_t path = std::max({options.calibration.size(), options.importance.size(), source.path().size() + 32});
  metadata.set_string("quantize.imatrix.file", std::string(path, 'x'));
  metadata.set_string("quantize.imatrix.dataset", std::string(path, 'x'));
  metadata.set_u32("quantize.imatrix.entries_count", 0);
  metadata.set_u32("quantize.imatrix.chunks_count", 0);
  uint64_t unread = 0;
  try {
    write_gguf_vocabulary(source, plan.spec, metadata);
  } catch (const Error&) {
    if (!source.tensors().empty()) throw;
    unread = (1 << 20) + uint64_t(plan.spec.vocab) * 50;  // planned from config.json alone: no tokenizer yet
  }
  return gguf_file_bytes(metadata, specs, options.shard_bytes) + unread;
}

Plan plan_unmeasured(const TensorSource& source, const ModelSpec& spec, const QuantizeOptions& options) {
  Plan plan = plan_with(source, spec, options, {});
  Problem problem{mix_groups(plan, options.candidates), {}, {}, 0, 0, 0};
  if (problem.groups.empty()) throw usage_error("quantize", target_option(options), "has nothing to choose: the recipe decides every weight");
  add_ranges(problem, plan);
  check_reach(options, plan, problem, options.target_bytes ? file_bytes(plan, source, options) - plan.bytes : 0);
  const MeasurePlan measure = plan_measurement(spec, problem.groups);
  PlannedMix mix;
  mix.target = target_text(options), mix.label = target_label(options);
  mix.least_bytes = problem.least, mix.most_bytes = problem.most;
  mix.measured = measure.candidates.size(), mix.runs = measure.runs, mix.tokens = measure.tokens, mix.flops = measure.flops;
  plan.mix = mix;
  plan.working_bytes += measure.bytes;
  plan.runtimes = {{"teeny", "yes"}};  // the others depend on what will be chosen
  return plan;
}

Plan make_mixed_plan(const TensorSource& source, const ModelSpec& spec, const QuantizeOptions& options, const Sensitivity& sensitivity) {
  check_model(source, spec, sensitivity);
  return solved(source, spec, options, sensitivity, plan_with(source, spec, options, {}));
}

Json mix_json(const Plan& plan) {
  const PlannedMix& mix = *plan.mix;
  const double scale = 8.0 / double(plan.spec.parameters());
  Json out = {{"target", mix.target}, {"solved", mix.solved}, {"reachable_bits_per_weight", {double(mix.least_bytes) * scale, double(mix.most_bytes) * scale}}};
  if (mix.solved)
    out.update({{"predicted_kld", mix.kld}, {"predicted_ppl_increase", mix.ppl_increase}});
  else
    out["measuring"] = {{"candidates_a_group", mix.measured}, {"runs", mix.runs}, {"tokens", mix.tokens}, {"flops", mix.flops}};
  return out;
}

Json sensitivity_record(const Sensitivity& sensitivity, const Plan& plan) {
  Json out = Json::array();
  for (const auto& group : sensitivity.groups) {
    const auto tensor = std::find_if(plan.tensors.begin(), plan.tensors.end(), [&](const auto& t) { return t.weight && t.module == group.modules[0]; });
    if (tensor == plan.tensors.end()) continue;
    const std::string label = candidate_label(tensor->encoding);
    Json candidates = Json::array();
    double value = 0;
    for (const auto& c : group.candidates) {
      candidates.push_back({{"encoding", c.label}, {"bits", c.bits_per_weight}, {"value", c.kld}, {"output_error", c.output_error}, {"measured", c.measured}});
      if (c.label == label) value = c.kld;
    }
    out.push_back({{"name", group.name}, {"bits", 8.0 * double(tensor->bytes) / (double(tensor->N) * double(tensor->K))}, {"encoding", label}, {"value", value}, {"metric", "KLD"},
                   {"candidates", std::move(candidates)}});
  }
  return out;
}

}  // namespace teeny
