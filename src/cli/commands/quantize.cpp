#include <algorithm>

#include "cli/command.h"
#include "cli/planned.h"
#include "cli/render.h"
#include "cli/resolve.h"
#include "teeny/core/error.h"
#include "teeny/core/file.h"

namespace teeny::cli {
namespace {

class Quantize : public Command {
 public:
  void setup(Options& o) override {
    o.group("What");
    add_model_option(o, options_);
    options_.method.clear();
    o.choice({"--method"}, options_.method, {"gptq", "awq", "gguf", "int8", "rtn", "fp16", "bf16"}, "how the numbers are chosen").required = true;
    o.integer({"--bits"}, options_.bits, 2, 16, "bits a weight, 2 to 8 or 16").shown_default = "4; int8: 8; fp16, bf16: 16";
    o.choice({"--type"}, options_.type, {"F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q5_K_S", "Q4_K_M", "Q4_K_S", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "IQ4_NL", "IQ4_XS",
             "Q3_K_L", "Q3_K_M", "Q3_K_S", "Q2_K"}, "GGUF type or mix").shown_default = "by bits: Q2_K Q3_K_M Q4_K_M Q5_K_M Q6_K Q8_0 F16";
    o.choice({"--granularity"}, options_.granularity, {"tensor", "channel", "group"}, "weights that share a scale");
    o.integer({"--group"}, options_.group, 1, 1 << 20, "group size along the input dimension");
    o.flag({"--sym"}, options_.symmetric, "symmetric codes (default of gptq, rtn, int8)", true);
    o.flag({"--asym"}, options_.symmetric, "codes with a zero point (default of awq)", false);
    o.choice({"--format"}, options_.format, {"gptq", "gptq-v2", "awq", "compressed-tensors", "bitsandbytes", "gguf", "safetensors"}, "how the result is stored")
        .shown_default = "what the method's users load: gptq, awq, bitsandbytes, gguf ...";
    o.text({"--out"}, options_.out, "PATH", "where the result goes", Takes::Directory).shown_default = "./<model>-<method>-<bits>bit...";
    o.bytes({"--max-shard-size"}, options_.shard_bytes, "most bytes a file of the result, like 5GB").shown_default = "5GB; GGUF: one file";
    o.flag({"--force"}, options_.force, "replace an existing output");
    o.flag({"--dry-run"}, options_.dry_run, "print the plan, write nothing");
    o.flag({"--resume"}, options_.resume, "continue an interrupted run; the result is bit-identical");
    setup_calibration(o);
    setup_methods(o);
    setup_mixed(o);
    o.group("Afterwards");
    o.flag({"--benchmark"}, benchmark_, "run 'teeny bench' on the result");
    o.flag({"--humaneval"}, humaneval_, "run 'teeny eval --tasks humaneval' on the result");
    add_device_options(o, options_);
  }

  int run(Options& o, Session& session) override {
    if (o.given("--group") && options_.granularity != "group")
      throw usage_error("usage", "--group", "has no meaning with --granularity {}; leave one of them out", options_.granularity);
    if (options_.bits > 8 && options_.bits != 16) throw usage_error("usage", "--bits", "{} is out of range; give 2 to 8, or 16", options_.bits);
    settle_type(options_);
    settle_candidates();
    if (!options_.importance.empty() && options_.method != "gguf" && options_.method != "rtn")
      throw input_error("quantize", "--importance", "is used by --method gguf and rtn; {} needs more than a number a column and takes --calibration", options_.method);
    warn_of_idle_options(o, session.context());
    options_.args = session.args();
    // Before a download that may take hours.
    if (!options_.dry_run && !options_.out.empty() && !path_exists(options_.model)) check_output({options_.out, options_.force || options_.resume, {}});
    options_.model = resolve_model(options_.model, session.context(), options_.dry_run);
    options_.calibration = resolve_calibration(options_.calibration, session.context());
    check_files();
    RunRecord record("quantize", session.args(), session.common().seed);
    const Plan plan = plan_quantize(options_);
    if (!options_.save_importance.empty() && !plan.calibrated)
      throw usage_error("usage", "--save-importance", "needs calibration, which --method {} does without; pass --calibration FILE|self", options_.method);
    if (options_.out.empty()) options_.out = output_name(plan, model_stem(options_.model));
    session.check_destinations();
    const auto render = [&](const Json& r) { return render_quantize(r, session.colour()); };
    if (options_.dry_run) return session.deliver(planned_record(record, plan, options_, session.context()), render);
    check_output({options_.out, options_.force || options_.resume, inputs()});
    const Json record_written = session.engine().quantize(options_, session.context());
    const int code = session.deliver(record_written, render);
    run_afterwards(session, record_written["model"]["path"]);
    return code;
  }

 private:
  void setup_calibration(Options& o) {
    o.group("Calibration");
    o.text({"--calibration"}, options_.calibration, "FILE|self", "text or jsonl (.gz too), a hub's data set file (org/name:path), or text that the model writes itself", Takes::File).shown_default =
        "the text that ships with the shipped model; self for others";
    o.integer({"--samples"}, options_.samples, 1, 1 << 24, "samples of the calibration text");
    o.integer({"--seq-len"}, options_.seq_len, 1, 1 << 24, "tokens a sample");
    o.text({"--importance"}, options_.importance, "FILE", "reuse statistics: an imatrix in GGUF or .dat form", Takes::File);
    o.text({"--save-importance"}, options_.save_importance, "FILE", "keep the statistics, as an imatrix in GGUF form", Takes::File);
  }

  void setup_methods(Options& o) {
    o.group("GPTQ");
    o.flag({"--desc-act"}, options_.desc_act, "columns by falling importance, stored with their order (g_idx)");
    o.flag({"--no-act-order"}, options_.act_order, "columns as they stand (else by falling importance within fixed groups)", false);
    o.number({"--damp"}, options_.damp, 0, 1, "share of the mean diagonal added to the Hessian");
    o.integer({"--block"}, options_.block, 1, 1 << 16, "columns a lazy update");
    o.flag({"--mse"}, options_.mse, "search each group's range for the least weighted squared error (on)");
    o.flag({"--no-mse"}, options_.mse, "the full range of each group", false);
    o.flag({"--true-sequential"}, options_.true_sequential, "layers see the quantized layers before them (on)");
    o.flag({"--no-true-sequential"}, options_.true_sequential, "quantize a block's linears at once", false);
    o.group("AWQ");
    o.integer({"--grid"}, options_.grid, 1, 1000, "scales tried for each group of linears");
    o.flag({"--duo-scaling"}, options_.duo_scaling, "scales that weigh activations against weights, both ways (on)");
    o.flag({"--no-duo-scaling"}, options_.duo_scaling, "scales by activations only", false);
    o.flag({"--clip"}, options_.clip, "search the clipping that loses least (on)");
    o.flag({"--no-clip"}, options_.clip, "no clipping", false);
    o.group("GGUF");
    o.flag({"--exact-llama-cpp"}, options_.exact_llama_cpp, "blocks bit for bit as llama-quantize writes them (they always are)");
    o.group("Weights that are no numbers");
    o.flag({"--allow-nonfinite"}, options_.allow_nonfinite, "turn NaN and infinity in the input into 0, and record it");
  }

  void setup_mixed(Options& o) {
    o.group("Mixed precision");
    o.text({"--recipe"}, options_.recipe, "FILE", "ordered rules: name pattern to method, bits, group, type, skip", Takes::File);
    o.number({"--target-bpw"}, options_.target_bpw, 1, 16, "bits per weight not to exceed, all tensors counted, with the least loss by measured sensitivity").shown_default.clear();
    o.bytes({"--target-size"}, options_.target_bytes, "size of the model's files not to exceed, like 9GB, with the least loss");
    o.number({"--max-ppl-increase"}, options_.max_ppl_increase, 0, kInfinite, "smallest model that is expected to lose no more perplexity than this, in percent").shown_default.clear();
    o.text({"--candidates"}, candidates_, "LIST", "encodings that a target may choose: GGUF types (Q4_K,Q6_K), else bits (4,8); 16 is not quantized").shown_default = "all that the format has";
    o.text({"--sensitivity"}, options_.sensitivity, "FILE", "sensitivities measured before, instead of measuring them", Takes::File);
    o.text({"--save-sensitivity"}, options_.save_sensitivity, "FILE", "keep the measured sensitivities: every weight, every candidate", Takes::File);
    o.group("Activations and sparsity");
    o.integer({"--act-bits"}, options_.act_bits, 8, 16, "bits of activations, 8 or 16");
    o.choice({"--act"}, options_.act, {"dynamic", "static"}, "activation scales per token, or from calibration");
    o.number({"--smooth"}, options_.smooth, 0, 1, "with --act-bits 8: move outliers of activations into the weights first, by this alpha; 0: none").shown_default = "searched";
    o.text({"--sparsity"}, options_.sparsity, "0.5|2:4", "share or pattern of weights set to 0");
  }

  // Knobs of another method change nothing; said aloud, not refused, so that one set of options can go through a loop.
  void warn_of_idle_options(const Options& o, Context& context) const {
    static const std::vector<std::pair<const char*, std::vector<std::string>>> knobs{
        {"--desc-act", {"gptq"}},       {"--no-act-order", {"gptq"}},     {"--damp", {"gptq"}},          {"--block", {"gptq"}},          {"--true-sequential", {"gptq"}},
        {"--mse", {"gptq"}}, {"--no-mse", {"gptq"}},            {"--grid", {"awq"}},              {"--duo-scaling", {"awq"}},    {"--no-duo-scaling", {"awq"}},  {"--clip", {"awq"}},
        {"--no-clip", {"awq"}},         {"--exact-llama-cpp", {"gguf"}},  {"--samples", kCalibrated},    {"--seq-len", kCalibrated},     {"--calibration", kCalibrated},
        {"--group", {"gptq", "awq", "rtn", "int8"}}};
    for (const auto& [name, methods] : knobs)
      if (o.given(name) && std::find(methods.begin(), methods.end(), options_.method) == methods.end())
        context.warn("option-unused", fmt::format("{} has no effect with --method {}", name, options_.method));
  }

  // "q4_k" and "4" as the plan knows them.
  void settle_candidates() {
    for (auto name : candidates_.empty() ? std::vector<std::string>() : split_commas(candidates_)) {
      std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return char(std::toupper(c)); });
      options_.candidates.push_back(name);
    }
  }

  std::vector<std::string> inputs() const {
    return {options_.model, options_.calibration == "self" ? "" : options_.calibration, options_.importance, options_.recipe, options_.sensitivity};
  }

  void check_files() const {
    if (options_.calibration != "self") require_file(options_.calibration, "--calibration");
    require_file(options_.importance, "--importance");
    require_file(options_.recipe, "--recipe");
    require_file(options_.sensitivity, "--sensitivity");
    if (!options_.save_importance.empty()) require_writable(options_.save_importance, "--save-importance");
    if (!options_.save_sensitivity.empty()) require_writable(options_.save_sensitivity, "--save-sensitivity");
  }

  void run_afterwards(Session& session, const std::string& written) const {
    const auto follow = [&](const Json& record, auto render) {
      session.keep(record);
      if (!session.json_to_stdout()) write_stdout(fmt::format("\n{}", render(record, session.colour())));
    };
    if ((benchmark_ || humaneval_) && session.common().results.empty())
      session.context().warn("records-not-kept", "the records of --benchmark and --humaneval are shown, but not kept; pass --results DIR to keep them");
    if (benchmark_) {
      BenchOptions bench;
      static_cast<CommonOptions&>(bench) = options_;
      bench.model = written;
      follow(session.engine().bench(bench, session.context()), render_bench);
    }
    if (humaneval_) {
      EvalOptions eval;
      static_cast<CommonOptions&>(eval) = options_;
      eval.model = written;
      eval.tasks = {"humaneval"};
      follow(session.engine().eval(eval, session.context()), render_eval);
    }
  }

  inline static const std::vector<std::string> kCalibrated{"gptq", "awq", "gguf"};
  QuantizeOptions options_;
  std::string candidates_;
  bool benchmark_ = false, humaneval_ = false;
};

}  // namespace

std::unique_ptr<Command> make_quantize() { return std::make_unique<Quantize>(); }

}  // namespace teeny::cli
