#include "cli/command.h"
#include "cli/planned.h"
#include "cli/render.h"
#include "cli/resolve.h"
#include "teeny/core/error.h"
#include "teeny/core/file.h"

namespace teeny::cli {
namespace {

class Convert : public Command {
 public:
  void setup(Options& o) override {
    o.group("What");
    add_model_option(o, options_);
    o.choice({"--format"}, options_.format, {"safetensors", "gptq", "gptq-v2", "awq", "compressed-tensors", "bitsandbytes", "gguf"}, "how the result is stored").required = true;
    o.choice({"--dtype"}, options_.dtype, {"f16", "bf16", "f32"}, "of tensors that are not quantized").shown_default = "as stored";
    o.choice({"--type"}, options_.type, {"F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q5_K_S", "Q4_K_M", "Q4_K_S", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "IQ4_NL", "IQ4_XS",
             "Q3_K_L", "Q3_K_M", "Q3_K_S", "Q2_K"}, "GGUF type or mix").shown_default = "as stored";
    o.text({"--out"}, options_.out, "PATH", "where the result goes", Takes::Directory).required = true;
    o.bytes({"--max-shard-size"}, options_.shard_bytes, "most bytes a file of the result, like 5GB").shown_default = "5GB; GGUF: one file";
    o.flag({"--force"}, options_.force, "replace an existing output");
    o.flag({"--dry-run"}, options_.dry_run, "print the plan, write nothing");
    add_device_options(o, options_);
  }

  int run(Options&, Session& session) override {
    if (!options_.type.empty() && options_.format != "gguf")
      throw usage_error("usage", "--type", "{} is a GGUF type; it goes with --format gguf, not {}", options_.type, options_.format);
    options_.args = session.args();
    // Before a download that may take hours.
    if (!options_.dry_run && !options_.out.empty() && !path_exists(options_.model)) check_output({options_.out, options_.force, {}});
    options_.model = resolve_model(options_.model, session.context(), options_.dry_run);
    RunRecord record("convert", session.args(), session.common().seed);
    const Plan plan = plan_convert(options_);
    session.check_destinations();
    const auto render = [&](const Json& r) { return render_quantize(r, session.colour()); };
    if (options_.dry_run) return session.deliver(planned_record(record, plan, options_, session.context()), render);
    check_output({options_.out, options_.force, {options_.model}});
    return session.deliver(session.engine().convert(options_, session.context()), render);
  }

 private:
  ConvertOptions options_;
};

}  // namespace

std::unique_ptr<Command> make_convert() { return std::make_unique<Convert>(); }

}  // namespace teeny::cli
