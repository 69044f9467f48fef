// run_eval with the real models and the real judge; everything else is run_eval_with.
#include "eval/job.h"
#include "teeny/eval/eval.h"

namespace teeny {
namespace {

class SandboxedJudge : public ProgramJudge {
 public:
  explicit SandboxedJudge(const JudgeOptions& options) : judge_(options) {}
  SandboxInfo sandbox() override { return judge_.sandbox(); }
  Json toolchains() override { return judge_.used_toolchains(); }
  Json toolchain(const std::string& language) override { return judge_.toolchain(language); }
  std::vector<Verdict> run(const std::vector<Job>& jobs, const Context& context) override { return judge_.run(jobs, context); }

 private:
  Judge judge_;
};
}  // namespace

Json run_eval(const EvalOptions& options, Context& context) {
  EvalServices services;
  services.open = open_source;
  services.load = [&options](std::unique_ptr<TensorSource> source, Context& c, int act_bits) { return load_runner(std::move(source), c, {act_bits, options.gpu_layers}); };
  services.judge = [](const JudgeOptions& o) { return std::make_unique<SandboxedJudge>(o); };
  return run_eval_with(options, context, services);
}

}  // namespace teeny
