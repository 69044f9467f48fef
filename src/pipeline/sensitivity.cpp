// The walk: block by block, every candidate of every weight is fitted as the method would, and some of the changed models are
// carried on through the blocks that follow, beside the original, to the head, where their output distributions are compared.
#include "pipeline/sensitivity.h"

#include <algorithm>
#include <cmath>

#include "pipeline/divergence.h"
#include "teeny/core/error.h"
#include "teeny/encodings/encoding.h"
#include "teeny/kernels/fixed_order.h"
#include "teeny/methods/gptq.h"
#include "teeny/tensor/metrics.h"

namespace teeny {
namespace {

constexpr int64_t kPiece = 512;             // tokens that are judged together, as in the protocol of eval
constexpr int64_t kMostFitTokens = 1 << 18; // more text does not change which weights are sensitive
constexpr int64_t kHeadRows = 4096;         // of the head, that stand for it where it is not run

// One candidate of one group.
struct Trial {
  double round_error = 0, error = 0, energy = 0;  // squared errors of the outputs: rounded, by the method; squared outputs
  double kld = -1;                                // negative: not run
  bool importance = false;
};

// The inputs of one slot on the judged text.
struct JudgedInput {
  Tensor x, gram;  // (T, K), or where that is smaller (K, K)
  explicit JudgedInput(Tensor rows) : x(std::move(rows)) {
    if (x.size(0) <= x.size(1)) return;
    gram = at::zeros({x.size(1), x.size(1)});
    add_gram(gram, x);
    mirror_lower(gram);
    x = Tensor();
  }
  double energy(const Tensor& w) const {  // sum of squares of x w^T
    if (gram.defined()) return std::max(0.0, (fixed_matmul(w, gram) * w).sum(at::kDouble).item<double>());
    return fixed_matmul(x, w.t().contiguous()).square().sum(at::kDouble).item<double>();
  }
};

// log y at log x on the line through measured points, continued in proportion (y ~ x) beyond them.
double interpolate(const std::vector<std::pair<double, double>>& points, double x) {
  if (points.empty() || !(x > 0)) return 0;
  const double at = std::log(x);
  const auto above = std::find_if(points.begin(), points.end(), [&](const auto& p) { return p.first >= at; });
  if (above == points.begin()) return std::exp(above->second + at - above->first);
  const auto& below = *(above - 1);
  if (above == points.end()) return std::exp(below.second + at - below.first);
  return std::exp(below.second + (above->second - below.second) * (at - below.first) / std::max(above->first - below.first, 1e-12));
}

class Measurement {
 public:
  Measurement(const TensorSource& source, const Plan& base, const QuantizeOptions& options, const HeldBack& text, const std::map<std::string, Tensor>& importance, Context& context)
      : source_(source), base_(base), spec_(base.spec), options_(options), text_(text), importance_(importance), context_(context), loader_(source, base.spec),
        groups_(mix_groups(base, options.candidates)), plan_(plan_measurement(base.spec, groups_)), candidates_(groups_.empty() ? 0 : groups_[0].candidates.size()),
        trials_(groups_.size(), std::vector<Trial>(candidates_)), windows_(text.judged.size()) {
    rope_ = make_rope(spec_, std::max(longest(text.judged), longest(text.fit.windows)), at::kCPU);
  }

  Sensitivity run() {
    context_.progress_start("measure", uint64_t(spec_.layers) + 2);
    judged_ = embed_windows(source_, loader_, spec_, text_.judged, text_.fit.source);
    if (needs_fit()) fit_ = embed_windows(source_, loader_, spec_, fit_windows(), text_.fit.source);
    try_embedding();
    context_.progress_advance();
    for (int64_t layer = 0; layer < spec_.layers; ++layer) {
      context_.check_interrupted();
      try_block(layer);
      context_.progress_advance();
    }
    judge();
    context_.progress_finish();
    return result();
  }

 private:
  struct Carried {
    size_t group, candidate;
  };

  bool gptq() const { return base_.method == "gptq"; }
  bool search() const { return base_.method == "gguf"; }
  bool needs_fit() const { return gptq() || base_.method == "awq" || (search() && importance_.empty()); }
  bool runs(size_t candidate) const { return std::find(plan_.candidates.begin(), plan_.candidates.end(), candidate) != plan_.candidates.end(); }
  bool is_plain(size_t candidate) const { return groups_[0].candidates[candidate].plain; }

  Windows fit_windows() const {
    Windows out;
    int64_t tokens = 0;
    for (const auto& window : text_.fit.windows)
      if (out.empty() || tokens + int64_t(window.size()) <= kMostFitTokens) out.push_back(window), tokens += int64_t(window.size());
    return out;
  }

  const MixGroup* group_named(const std::string& name, size_t* index = nullptr) const {
    for (size_t g = 0; g < groups_.size(); ++g)
      if (groups_[g].name == name) {
        if (index) *index = g;
        return &groups_[g];
      }
    return nullptr;
  }

  // Candidate c of a module that has no statistics, or whose row of `w` stand alone.
  Tensor rounded(const EncodingSpec& spec, const Tensor& w, const FitOptions& fit) const {
    if (spec.kind == EncodingKind::Plain) return w;
    const auto encoding = make_encoding(spec);
    const auto [levels, grid] = encoding->quantize(w, fit);
    return decode(levels, grid);
  }

  Tensor rounded_rows(const EncodingSpec& spec, const Tensor& w) const {
    Tensor out = at::empty_like(w);
    constexpr int64_t step = 8192;
    for (int64_t row = 0; row < w.size(0); row += step) {
      const int64_t rows = std::min(step, w.size(0) - row);
      out.narrow(0, row, rows).copy_(rounded(spec, w.narrow(0, row, rows).contiguous(), {}));
    }
    return out;
  }

  // --- Embedding and head: only in GGUF ---

  void try_embedding() {
    size_t g = 0;
    for (const size_t c : plan_.candidates) whole_.emplace_back(c, judged_);
    if (!group_named("model.embed_tokens", &g)) return;
    for (size_t c = 0; c < candidates_; ++c) {
      if (is_plain(c)) continue;
      HiddenStates changed;
      Trial& trial = trials_[g][c];
      for (const auto& h : judged_) {
        changed.push_back(rounded_rows(groups_[g].candidates[c].encoding, h[0]).unsqueeze(0));
        trial.error += (changed.back() - h).square().sum(at::kDouble).item<double>();
        trial.energy += h.square().sum(at::kDouble).item<double>();
      }
      trial.round_error = trial.error;
      if (!runs(c)) continue;
      for (auto& [candidate, hidden] : whole_)
        if (candidate == c) hidden = changed;
      carry(g, c, std::move(changed));
    }
  }

  void carry(size_t group, size_t candidate, HiddenStates hidden) {
    carried_.push_back({group, candidate});
    for (auto& h : hidden) hidden_.push_back(std::move(h));
  }

  // --- One block ---

  void try_block(int64_t layer) {
    Block block = load_block(loader_, spec_, layer, at::TensorOptions().dtype(at::kFloat));
    const std::string prefix = layer_prefix(layer);
    for (size_t i = 0; i < block.linears.size(); ++i) require_finite(block.linears[i].weight, prefix + kLinears[i].module, options_.allow_nonfinite);
    std::array<InputStats, 4> stats;
    if (needs_fit()) stats = collect(spec_, block, fit_, rope_, {0, 1, 2, 3}, gptq(), context_);
    std::vector<JudgedInput> inputs;
    for (auto& rows : sample_inputs(spec_, block, judged_, rope_, INT64_MAX)) inputs.emplace_back(std::move(rows));
    std::array<GptqFactor, 4> factors;
    if (gptq())
      for (size_t i = 0; i < 4; ++i) factors[i] = gptq_factor(stats[i], gptq_options());
    const HiddenStates before = judged_;
    advance(spec_, block, hidden_, rope_, context_);
    for (size_t c = 0; c < candidates_; ++c) {
      if (is_plain(c)) continue;
      Block whole = block;
      try_candidate(prefix, c, block, whole, before, inputs, stats, factors);
      for (auto& [candidate, hidden] : whole_)
        if (candidate == c) advance(spec_, whole, hidden, rope_, context_);
    }
    advance(spec_, block, judged_, rope_, context_);
    if (layer + 1 < spec_.layers && needs_fit()) advance(spec_, block, fit_, rope_, context_);
  }

  void try_candidate(const std::string& prefix, size_t c, const Block& block, Block& whole, const HiddenStates& before, const std::vector<JudgedInput>& inputs,
                     const std::array<InputStats, 4>& stats, const std::array<GptqFactor, 4>& factors) {
    for (size_t g = 0; g < groups_.size(); ++g) {
      if (!groups_[g].name.starts_with(prefix)) continue;
      Block alone = block;
      for (size_t i = 0; i < block.linears.size(); ++i) {
        const std::string module = prefix + kLinears[i].module;
        if (std::find(groups_[g].modules.begin(), groups_[g].modules.end(), module) == groups_[g].modules.end()) continue;
        const size_t input = size_t(kLinears[i].input);
        alone.linears[i].weight = whole.linears[i].weight =
            try_weight(module, block.linears[i].weight, groups_[g].candidates[c].encoding, inputs[input], stats[input], factors[input], runs(c), trials_[g][c]);
      }
      if (!runs(c)) continue;
      HiddenStates hidden = before;
      advance(spec_, alone, hidden, rope_, context_);
      carry(g, c, std::move(hidden));
    }
  }

  // What the weight would become, with its errors added to the trial.
  Tensor try_weight(const std::string& module, const Tensor& w, const EncodingSpec& spec, const JudgedInput& input, const InputStats& stats, const GptqFactor& factor, bool with_method,
                    Trial& trial) const {
    trial.energy += input.energy(w);
    if (spec.kind == EncodingKind::Plain) return w;  // no block type holds rows of this length
    FitOptions fit;
    if (const auto found = importance_.find(module); found != importance_.end() && (search() || base_.method == "rtn")) fit.importance = found->second, fit.mse = true;
    else if (search()) fit.importance = stats.importance(), fit.mse = true;
    else if (gptq()) fit.importance = factor.importance, fit.mse = options_.mse;
    else if (base_.method == "awq") fit.importance = stats.importance(), fit.mse = true;
    Tensor value = rounded(spec, w, fit);
    double error = input.energy(w - value);
    trial.importance = true;
    if (search()) {  // importance is no uniform win: the held-back text decides
      const Tensor without = rounded(spec, w, {});
      if (const double other = input.energy(w - without); other <= error) value = without, error = other, trial.importance = false;
    }
    trial.round_error += error;
    if (gptq() && with_method) {
      const auto encoding = make_encoding(spec);
      const auto result = gptq_quantize(w, factor, *encoding, gptq_options());
      value = decode(result.quantized.levels, result.quantized.grid);
      error = input.energy(w - value);
    }
    trial.error += error;
    return value;
  }

  GptqOptions gptq_options() const {
    GptqOptions o{options_.damp, options_.block, options_.act_order, options_.desc_act, options_.mse};
    if (base_.container == ContainerKind::Gguf)
      for (const auto& group : groups_)
        for (const auto& candidate : group.candidates)
          if (candidate.encoding.kind == EncodingKind::Ggml) o.together = std::max(o.together, traits(candidate.encoding.dtype).block);
    return o;
  }

  // --- The head ---

  void judge() {
    const Head head = load_head(loader_, spec_);
    size_t embedding = groups_.size(), output = groups_.size();
    group_named("model.embed_tokens", &embedding), group_named("lm_head", &output);
    const bool own_head = output < groups_.size(), tied = embedding < groups_.size() && spec_.tied;
    std::vector<const Tensor*> plain;
    std::vector<size_t> of;
    for (size_t s = 0; s < carried_.size(); ++s)
      if (!(tied && carried_[s].group == embedding)) plain.push_back(&hidden_[s * windows_]), of.push_back(s);
    const auto found = divergences(spec_, head, judged_, head, plain, text_.judged, context_);
    for (size_t i = 0; i < of.size(); ++i) trials_[carried_[of[i]].group][carried_[of[i]].candidate].kld = found[i].kld;
    if (own_head) try_head_rows(head, output);
    for (auto& [c, hidden] : whole_) {
      Head changed = head;
      std::vector<const Tensor*> variants{hidden.data()};
      const size_t g = own_head ? output : embedding;
      if (own_head || tied) changed.weight = rounded_rows(groups_[g].candidates[c].encoding, head.weight);
      if (own_head) variants.push_back(judged_.data());
      for (size_t s = 0; s < carried_.size(); ++s)
        if (tied && carried_[s].group == embedding && carried_[s].candidate == c) variants.push_back(&hidden_[s * windows_]);
      const auto result = divergences(spec_, head, judged_, changed, variants, text_.judged, context_);
      if (variants.size() > 1) trials_[g][c].kld = result[1].kld;
      checks_.emplace_back(c, result[0]);
    }
  }

  // Errors of the head's candidates, on rows spread over the vocabulary.
  void try_head_rows(const Head& head, size_t g) {
    const int64_t step = std::max<int64_t>(1, head.weight.size(0) / kHeadRows);
    const Tensor rows = head.weight.slice(0, 0, head.weight.size(0), step).contiguous();
    for (size_t c = 0; c < candidates_; ++c) {
      if (is_plain(c)) continue;
      Trial& trial = trials_[g][c];
      trial.error = trial.round_error = (rounded_rows(groups_[g].candidates[c].encoding, rows) - rows).square().sum(at::kDouble).item<double>();
      trial.energy = rows.square().sum(at::kDouble).item<double>();
    }
  }

  Sensitivity result() const {
    Sensitivity out;
    out.fingerprint = weights_fingerprint(source_), out.name = spec_.name, out.parameters = spec_.parameters();
    out.method = base_.method, out.format = base_.format;
    out.calibration = text_.fit.json();
    out.windows = int64_t(windows_), out.tokens = text_.tokens();
    std::vector<double> sums(candidates_);
    for (size_t g = 0; g < groups_.size(); ++g) {
      SensitivityGroup group{groups_[g].name, groups_[g].modules, {}};
      std::vector<std::pair<double, double>> klds, errors;
      for (const auto& trial : trials_[g])
        if (trial.kld > 0 && trial.round_error > 0 && trial.error > 0) klds.emplace_back(std::log(trial.round_error), std::log(trial.kld)), errors.emplace_back(std::log(trial.round_error), std::log(trial.error));
      std::sort(klds.begin(), klds.end()), std::sort(errors.begin(), errors.end());
      for (size_t c = 0; c < candidates_; ++c) {
        const auto& candidate = groups_[g].candidates[c];
        const auto& trial = trials_[g][c];
        CandidateLoss loss{candidate.label, groups_[g].bits_per_weight(c), std::max(trial.kld, 0.0), 0, trial.kld >= 0, trial.importance};
        if (!candidate.plain) {
          const double error = loss.measured ? trial.error : interpolate(errors, trial.round_error);
          if (!loss.measured) loss.kld = interpolate(klds, trial.round_error);
          loss.output_error = trial.energy > 0 ? error / trial.energy : 0;
        }
        sums[c] += loss.kld;
        const bool known = std::any_of(group.candidates.begin(), group.candidates.end(), [&](const auto& other) { return other.label == loss.label; });
        if (!known) group.candidates.push_back(std::move(loss));
      }
      out.groups.push_back(std::move(group));
    }
    for (const auto& [c, divergence] : checks_) out.checks.push_back({groups_[0].candidates[c].label, sums[c], divergence.kld, std::expm1(divergence.nll)});
    std::sort(out.checks.begin(), out.checks.end(), [](const auto& a, const auto& b) { return a.predicted < b.predicted; });
    return out;
  }

  const TensorSource& source_;
  const Plan& base_;
  const ModelSpec& spec_;
  const QuantizeOptions& options_;
  const HeldBack& text_;
  const std::map<std::string, Tensor>& importance_;
  Context& context_;
  const WeightLoader loader_;
  const std::vector<MixGroup> groups_;
  const MeasurePlan plan_;
  const size_t candidates_;
  std::vector<std::vector<Trial>> trials_;  // [group][candidate]
  const size_t windows_;
  Rope rope_;
  HiddenStates judged_, fit_;               // of the original, at the current block
  std::vector<Carried> carried_;
  HiddenStates hidden_;                     // of carried_[s]: windows_ entries from s * windows_
  std::vector<std::pair<size_t, HiddenStates>> whole_;  // everything in one candidate
  std::vector<std::pair<size_t, Divergence>> checks_;
};

}  // namespace

int64_t HeldBack::tokens() const {
  int64_t n = 0;
  for (const auto& window : judged) n += int64_t(window.size());
  return n;
}

HeldBack hold_back(const Calibration& calibration, int64_t tokens) {
  HeldBack out{calibration, {}};
  out.fit.windows.clear();
  const size_t count = calibration.windows.size();
  const int64_t length = longest(calibration.windows);
  const int64_t piece = count == 1 ? std::min(kPiece, length / 2) : std::min(kPiece, length);
  const size_t most = length > piece ? count : count / 2, wanted = piece > 0 ? size_t((tokens + piece - 1) / piece) : 0, n = std::min(wanted, most);
  for (size_t i = 0; i < count; ++i) {
    const auto& window = calibration.windows[i];
    if (i * n / count == (i + 1) * n / count) {
      out.fit.windows.push_back(window);
      continue;
    }
    const size_t cut = std::min(window.size(), size_t(piece));
    if (cut > 1) out.judged.emplace_back(window.begin(), window.begin() + int64_t(cut));
    if (window.size() > cut + 1) out.fit.windows.emplace_back(window.begin() + int64_t(cut), window.end());
  }
  if (out.judged.empty() || out.fit.windows.empty())
    throw input_error("calibration", calibration.source, "holds {} tokens, too few to hold some back that the sensitivities are judged by; give more text", calibration.tokens());
  return out;
}

Sensitivity measure_sensitivity(const TensorSource& source, const Plan& base, const QuantizeOptions& options, const HeldBack& text, const std::map<std::string, Tensor>& importance,
                                Context& context) {
  return Measurement(source, base, options, text, importance, context).run();
}

}  // namespace teeny
