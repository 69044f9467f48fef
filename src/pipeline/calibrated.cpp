// The block loop of the calibrated methods: one block in memory at a time, its inputs from the quantized blocks before it.
#include <cmath>

#include "pipeline/behind.h"
#include "pipeline/checkpoint.h"
#include "pipeline/embed.h"
#include "pipeline/job.h"
#include "pipeline/place.h"
#include "teeny/core/error.h"
#include "teeny/core/version.h"
#include "teeny/kernels/fixed_order.h"
#include "teeny/methods/awq.h"
#include "teeny/methods/gptq.h"
#include "teeny/methods/smooth.h"
#include "teeny/record/record.h"

namespace teeny {
namespace {

constexpr double kSteady = 0.8;  // agreement of the halves of a calibration below which it is said aloud
constexpr int64_t kSampleTokens = 1024;  // that SmoothQuant's alpha and static scales are judged by

class BlockLoop {
 public:
  BlockLoop(QuantizeJob& job, const Calibration& calibration, Checkpoint& checkpoint)
      : job_(job), spec_(job.plan.spec), calibration_(calibration), checkpoint_(checkpoint), place_(choose_place(spec_, job.context, job.plan.act_bits == 8)),
        reader_(job.loader, spec_, place_), behind_(place_.gpu()), rope_(make_rope(spec_, longest(calibration.windows), place_.device)) {}

  void run() {
    job_.context.progress_start("quantize", uint64_t(spec_.layers));
    for (int64_t layer = start(); layer < spec_.layers; ++layer) {
      job_.context.check_interrupted();
      checkpoint_.begin_block(job_.output, layer);
      last_store_ = std::chrono::steady_clock::now();
      Block block = load(layer);
      if (job_.plan.act_bits == 8) prepare_activations(layer, block);
      if (job_.plan.method == "gptq")
        gptq(layer, block);
      else if (job_.plan.method == "awq")
        awq(layer, block);
      else
        round(layer, block);
      write_vectors(layer, block);
      {
        PhaseTimer timer(job_, "forward");
        if (layer + 1 < spec_.layers && job_.plan.method != "awq") advance(spec_, for_forward(block, place_), hidden_, rope_, job_.context, behind_attention_ ? Part::Mlp : Part::Whole);
      }
      sample_memory();
      finish_block(layer + 1);
      job_.context.progress_advance();
    }
    job_.context.progress_finish();
    warn_of_unsteady_calibration();
  }

 private:
  void warn_of_unsteady_calibration() const {
    double least = 1;
    std::string name;
    for (const auto& row : job_.tensors)
      if (const double agreement = row.value("calibration_agreement", 1.0); agreement < least) least = agreement, name = row["name"].get<std::string>();
    if (least < kSteady)
      job_.context.warn("calibration-unsteady", fmt::format("{}: the two halves of the calibration agree to {:.0f} % only (E[x^2] of its input); more or more alike text makes the result steadier",
                                                            name, 100 * least));
  }

  // The first block to do, with what former blocks left behind.
  int64_t start() {
    const auto state = checkpoint_.load();
    if (!state) {
      hidden_ = embed_windows(job_.source, job_.loader, spec_, calibration_.windows, calibration_.source, place_);
      return 0;
    }
    PhaseTimer timer(job_, "resume");
    checkpoint_.replay(job_.output);
    hidden_ = gather(checkpoint_.load_hidden(), place_);
    for (const auto& row : state->tensors) job_.tensors.push_back(row);
    for (const auto& row : state->fallbacks) job_.fallbacks.push_back(row);
    job_.context.progress_advance(uint64_t(state->blocks));
    return state->blocks;
  }

  void finish_block(int64_t done) {
    {
      PhaseTimer timer(job_, "write");
      behind_.drain();
    }
    PhaseTimer timer(job_, "checkpoint");
    CheckpointState state{done, {}, {}, Json::object()};
    const auto of_blocks = [](const Json& rows) {
      Json out = Json::array();
      for (const auto& row : rows)
        if (row["name"].get<std::string>().starts_with("model.layers.")) out.push_back(row);
      return out;
    };
    state.tensors = of_blocks(job_.tensors), state.fallbacks = of_blocks(job_.fallbacks);
    checkpoint_.end_block(job_.output, state, hidden_);
  }

  Block load(int64_t layer) {
    PhaseTimer timer(job_, "load");
    Block block = reader_.read(layer);
    for (size_t i = 0; i < block.linears.size(); ++i) require_finite(block.linears[i].weight, layer_prefix(layer) + kLinears[i].module, job_.options.allow_nonfinite);
    return block;
  }

  const PlannedTensor& planned(int64_t layer, size_t linear) const { return planned(layer_prefix(layer) + kLinears[linear].module); }
  const PlannedTensor& planned(const std::string& name) const {
    for (const auto& tensor : job_.plan.tensors)
      if (tensor.module == name) return tensor;
    throw Error(ErrorKind::Bug, "quantize", name, "is not in the plan");
  }

  // Packs, writes, measures; the block goes on with what the file will decode to.
  void store(int64_t layer, size_t linear, Block& block, const Encoding& encoding, Quantized quantized, const Tensor& original, Json extra) {
    PhaseTimer timer(job_, "pack");
    const auto& tensor = planned(layer, linear);
    const auto now = std::chrono::steady_clock::now();
    extra["seconds"] = std::chrono::duration<double>(now - last_store_).count();
    last_store_ = now;
    if (const auto& agreement = agreement_[size_t(kLinears[linear].input)]) extra["calibration_agreement"] = *agreement;
    if (tensor.encoding.act_bits == 8) set_activations(quantized.grid, encoding, linear, block, extra);
    const QuantTensor packed = encoding.pack(quantized.levels, quantized.grid);
    behind_.give([this, &tensor, here = on_cpu(packed)] { job_.output.put(tensor, here); });
    // What the file decodes to; levels and grid are that exactly, and need no unpacking.
    keep(tensor, linear, block, place_.gpu() ? decode(quantized.levels, quantized.grid) : encoding.decode(packed), original, std::move(extra));
  }

  static QuantTensor on_cpu(QuantTensor packed) {
    for (auto& [name, part] : packed.parts) part = part.contiguous().cpu();
    return packed;
  }
  void put_plain(const PlannedTensor& tensor, const Tensor& values) {
    behind_.give([this, &tensor, here = values.cpu()] { job_.output.put_plain(tensor, here); });
  }

  // The weight to quantize; a GPU holds it in its stored type until then.
  static Tensor weight_of(const Block& block, size_t linear) { return block.linears[linear].weight.to(at::kFloat); }

  // A weight whose shape fits no block type stays a plain one.
  void store_plain(int64_t layer, size_t linear, Block& block) {
    const auto& tensor = planned(layer, linear);
    const Tensor original = weight_of(block, linear);
    put_plain(tensor, original);
    keep(tensor, linear, block, original.to(scalar_type(tensor.encoding.dtype)).to(at::kFloat), original, Json::object());
  }

  // From here on the block rounds this linear's input as a runtime will.
  void set_activations(Grid& grid, const Encoding& encoding, size_t index, Block& block, Json& extra) const {
    Linear& linear = block.linears[index];
    linear.act_bits = 8, linear.mixed = false;
    extra["smooth_alpha"] = alpha_[size_t(kLinears[index].input)];
    if (!encoding.spec().act_static) return;
    linear.input_scale = encoding.storable_scale(input_scale_[size_t(kLinears[index].input)]);
    for (auto& [name, value] : grid.parts)
      if (name == "input_scale") value = linear.input_scale;
    extra["input_scale"] = linear.input_scale.item<float>();
  }

  // SmoothQuant's scales, and the static scales of the block's inputs.
  void prepare_activations(int64_t layer, Block& block) {
    const auto& o = job_.options;
    std::array<InputStats, 4> stats;
    auto& samples = samples_;
    {
      PhaseTimer timer(job_, "calibrate");
      stats = collect(spec_, block, hidden_, rope_, {0, 1, 2, 3}, false, job_.context, layer);
      for (size_t i = 0; i < 4; ++i) agreement_[i] = stats[i].agreement();
      samples = sample_inputs(spec_, block, hidden_, rope_, kSampleTokens);
    }
    PhaseTimer timer(job_, "smooth");
    alpha_ = {};
    if (o.smooth != 0)
      for (const auto& note : smooth_block(spec_, block, stats, samples, encodings(layer), {o.smooth, job_.plan.act_static, norm_type(layer)}))
        alpha_[size_t(note.input)] = note.alpha;
    for (size_t i = 0; i < 4 && job_.plan.act_static; ++i) input_scale_[i] = static_scale(samples[i], stats[i].largest.max().item<float>());
  }

  void round(int64_t layer, Block& block) {
    const BlockEncodings encodings = this->encodings(layer);
    for (size_t i = 0; i < block.linears.size(); ++i) {
      const auto& encoding = encodings[i];
      if (!encoding) {
        store_plain(layer, i, block);
        continue;
      }
      const Tensor target = block.linears[i].weight;
      const Quantized quantized = encoding->quantize(target, {});
      Json extra = Json::object();
      if (const Tensor& x = samples_[size_t(kLinears[i].input)]; x.defined()) extra["output_error"] = sampled_error(x, target, decode(quantized.levels, quantized.grid), i);
      store(layer, i, block, *encoding, quantized, target, std::move(extra));
    }
  }

  // ||X W - int8(X) Q|| / ||X W|| on the sample: activations are rounded as they will be.
  double sampled_error(const Tensor& x, const Tensor& w, const Tensor& quantized, size_t linear) const {
    const Tensor scale = job_.plan.act_static ? input_scale_[size_t(kLinears[linear].input)] : Tensor();
    const Tensor wanted = fixed_matmul(x, w.t()), got = fixed_matmul(round_to_int8(x, scale, {}), quantized.t());
    return std::sqrt((got - wanted).square().sum(at::kDouble).item<double>() / std::max(wanted.square().sum(at::kDouble).item<double>(), 1e-30));
  }

  // Null where the plan keeps a plain weight.
  BlockEncodings encodings(int64_t layer) const {
    BlockEncodings out;
    for (size_t i = 0; i < out.size(); ++i)
      if (planned(layer, i).encoding.kind != EncodingKind::Plain) out[i] = make_encoding(planned(layer, i).encoding);
    return out;
  }

  at::ScalarType norm_type(int64_t layer) const { return scalar_type(planned(layer_prefix(layer) + "input_layernorm.weight").encoding.dtype); }

  void keep(const PlannedTensor& tensor, size_t linear, Block& block, Tensor decoded, const Tensor& original, Json extra) {
    ErrorSum error;
    error.add(original, decoded);
    job_.record(tensor, error, std::move(extra));
    block.linears[linear].weight = decoded.to(place_.dtype);
  }

  // Columns that the linears of one input must keep together: their largest block type's. 0 outside GGUF.
  int64_t together(int64_t layer, int input) const {
    int64_t columns = 0;
    for (size_t i = 0; i < std::size(kLinears); ++i)
      if (const auto& spec = planned(layer, i).encoding; kLinears[i].input == input && spec.kind == EncodingKind::Ggml)
        columns = std::max(columns, int64_t(traits(spec.dtype).block));
    return columns;
  }

  void gptq(int64_t layer, Block& block) {
    const auto& o = job_.options;
    GptqOptions options{o.damp, o.block, o.act_order, o.desc_act, o.mse};
    options.tensor_cores = place_.dtype == at::kBFloat16;
    const Sparsity sparsity = parse_sparsity(o.sparsity);
    options.prune = sparsity.share, options.prune_of = sparsity.of;
    std::array<InputStats, 4> stats;
    behind_attention_ = false;
    for (int input = 0; input < 4; ++input) {
      if (input == 2 && o.true_sequential) {  // attention and o_proj are what they will be: nothing goes through them again
        PhaseTimer timer(job_, "forward");
        advance(spec_, for_forward(block, place_), hidden_, rope_, job_.context, Part::Attention);
        behind_attention_ = true;
      }
      if (input == 0 || o.true_sequential) {
        PhaseTimer timer(job_, "calibrate");
        std::vector<int> wanted = o.true_sequential ? std::vector<int>{input} : std::vector<int>{0, 1, 2, 3};
        stats = collect(spec_, for_forward(block, place_), hidden_, rope_, wanted, true, job_.context, layer, behind_attention_ ? Part::Mlp : Part::Whole);
        for (const int i : wanted) agreement_[size_t(i)] = stats[size_t(i)].agreement();
      }
      GptqFactor factor;
      options.together = together(layer, input);
      {
        PhaseTimer timer(job_, "factor");
        factor = gptq_factor(stats[size_t(input)], options);
      }
      sample_memory();
      for (size_t i = 0; i < block.linears.size(); ++i)
        if (kLinears[i].input == input) gptq_linear(layer, i, block, factor, options);
    }
  }

  void gptq_linear(int64_t layer, size_t i, Block& block, const GptqFactor& factor, const GptqOptions& options) {
    const auto& tensor = planned(layer, i);
    if (tensor.encoding.kind == EncodingKind::Plain) return store_plain(layer, i, block);
    const auto encoding = make_encoding(tensor.encoding);
    const Tensor original = weight_of(block, i);
    GptqResult result;
    {
      PhaseTimer timer(job_, "solve");
      result = tensor.method == "rtn" ? GptqResult{encoding->quantize(original, {}), 0, {}} : gptq_quantize(original, factor, *encoding, options);
    }
    Json extra = {{"damp", factor.damp}};
    const TensorCores fast(place_.dtype == at::kBFloat16);  // what follows is measured, not stored
    if (factor.h.defined()) extra["output_error"] = output_error(original, decode(result.quantized.levels, result.quantized.grid), factor.h);
    if (options.prune > 0) extra["zeros"] = (decode(result.quantized.levels, result.quantized.grid) == 0).to(at::kFloat).mean().item<float>();
    if (!factor.u.defined()) {
      const std::string reason = std::string("the Hessian stayed indefinite at every damping; rounded to nearest") + (options.prune > 0 ? ", not pruned" : "");
      extra["note"] = reason;
      job_.fallbacks.push_back({{"name", tensor.module}, {"reason", reason}, {"encoding", tensor.encoding.name()}});
      job_.context.warn("gptq-fallback", tensor.module + ": " + reason + "; more calibration text may help");
    }
    store(layer, i, block, *encoding, result.quantized, original, extra);
  }

  void awq(int64_t layer, Block& block) {
    std::array<InputStats, 4> stats;
    {
      PhaseTimer timer(job_, "calibrate");
      // As in the paper's code, the next block's inputs are the original model's: no choice here depends on how ties fell before.
      stats = collect(spec_, for_forward(block, place_), hidden_, rope_, {0, 1, 2, 3}, true, job_.context, layer, Part::Whole, &hidden_);
      for (size_t i = 0; i < 4; ++i) agreement_[i] = stats[i].agreement();
    }
    sample_memory();
    for (size_t i = 0; i < block.linears.size(); ++i) block.linears[i].weight = weight_of(block, i);
    const BlockEncodings encodings = this->encodings(layer);
    std::vector<AwqScale> powers;
    const AwqOptions options{job_.options.grid, job_.options.duo_scaling, job_.options.clip, norm_type(layer), job_.options.search_rows};
    {
      PhaseTimer timer(job_, "search");
      const TensorCores fast(place_.dtype == at::kBFloat16);  // errors that are compared, of sums over millions of products
      powers = awq_transform(spec_, block, stats, encodings, options);
    }
    for (size_t i = 0; i < block.linears.size(); ++i) {
      if (!encodings[i]) {
        store_plain(layer, i, block);
        continue;
      }
      Linear& linear = block.linears[i];
      const Tensor target = linear.weight;
      AwqResult result;
      {
        PhaseTimer timer(job_, "round");
        result = awq_quantize(linear, stats[size_t(kLinears[i].input)], *encodings[i], options);
      }
      if (result.bias.defined()) linear.bias = result.bias;
      Json extra = {{"output_error", output_error(target, decode(result.quantized.levels, result.quantized.grid), stats[size_t(kLinears[i].input)].gram)}};
      for (const auto& power : powers)
        if (power.input == kLinears[i].input) extra["scale_powers"] = {power.ratio, power.weight_ratio};
      store(layer, i, block, *encodings[i], result.quantized, target, extra);
    }
  }

  void write_vectors(int64_t layer, const Block& block) {
    const std::string prefix = layer_prefix(layer);
    const auto put = [&](const std::string& name, const Tensor& values) { put_plain(planned(name), values); };
    put(prefix + "input_layernorm.weight", block.attn_norm);
    put(prefix + "post_attention_layernorm.weight", block.mlp_norm);
    if (block.q_norm.defined()) put(prefix + "self_attn.q_norm.weight", block.q_norm);
    if (block.k_norm.defined()) put(prefix + "self_attn.k_norm.weight", block.k_norm);
    for (size_t i = 0; i < block.linears.size(); ++i)
      if (block.linears[i].bias.defined()) put(prefix + kLinears[i].module + ".bias", block.linears[i].bias);
  }

  QuantizeJob& job_;
  const ModelSpec& spec_;
  const Calibration& calibration_;
  Checkpoint& checkpoint_;
  Place place_;
  BlockReader reader_;
  Behind behind_;
  HiddenStates hidden_;
  bool behind_attention_ = false;  // of the current block: hidden_ has passed its first half
  Rope rope_;
  std::array<Tensor, 4> samples_;      // rows of the current block's inputs, with 8-bit activations
  std::array<Tensor, 4> input_scale_;  // of the current block, with static activations
  std::chrono::steady_clock::time_point last_store_;  // a linear's seconds: from the store before it to its own
  std::array<std::optional<double>, 4> agreement_;  // of the halves of the calibration, for the current block's inputs
  std::array<double, 4> alpha_{};       // SmoothQuant's, of the current block's inputs; 0: not smoothed
};

// Everything that decides a byte of the output; the thread count does not.
std::string resume_key(const QuantizeJob& job, const Calibration& calibration) {
  const auto& o = job.options;
  const Json key = {{"source", fingerprint(job.source)}, {"plan", plan_json(job.plan)}, {"calibration", calibration.json()}, {"version", version_info().version},
                    {"seq_len", o.seq_len}, {"damp", o.damp}, {"block", o.block}, {"act_order", o.act_order}, {"desc_act", o.desc_act}, {"mse", o.mse},
                    {"true_sequential", o.true_sequential}, {"grid", o.grid}, {"duo_scaling", o.duo_scaling}, {"clip", o.clip}, {"smooth", o.smooth}, {"sparsity", o.sparsity}, {"nonfinite", o.allow_nonfinite},
                    {"gpu", job.context.device.starts_with("cuda") && job.plan.act_bits != 8}};
  return sha256_hex(dump_json(key));
}

}  // namespace

void write_calibrated_blocks(QuantizeJob& job, const Calibration& calibration) {
  Checkpoint checkpoint(job.output.path(), resume_key(job, calibration), job.options.resume, job.context);
  BlockLoop(job, calibration, checkpoint).run();
}

std::map<std::string, Tensor> collect_importance(const TensorSource& source, const ModelSpec& spec, const Calibration& calibration, Context& context) {
  const WeightLoader loader(source, spec);
  const Place place = choose_place(spec, context, false);
  HiddenStates hidden = embed_windows(source, loader, spec, calibration.windows, calibration.source, place);
  BlockReader reader(loader, spec, place);
  const Rope rope = make_rope(spec, longest(calibration.windows), place.device);
  std::map<std::string, Tensor> importance;
  context.progress_start("calibrate", uint64_t(spec.layers));
  for (int64_t layer = 0; layer < spec.layers; ++layer) {
    const Block block = for_forward(reader.read(layer), place);
    const auto stats = collect(spec, block, hidden, rope, {0, 1, 2, 3}, false, context, layer, Part::Whole, &hidden);
    for (const auto& slot : kLinears) importance[layer_prefix(layer) + slot.module] = stats[size_t(slot.input)].importance().cpu();
    context.progress_advance();
  }
  context.progress_finish();
  return importance;
}

}  // namespace teeny
