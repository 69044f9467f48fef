#include "cli/command.h"
#include "cli/render.h"
#include "cli/resolve.h"
#include "teeny/core/error.h"

namespace teeny::cli {
namespace {

class Bench : public Command {
 public:
  void setup(Options& o) override {
    o.group("What");
    add_model_option(o, options_);
    o.integers({"--prompt"}, options_.prompt, 0, "prompt lengths, tokens");
    o.integers({"--generate"}, options_.generate, 0, "tokens generated");
    o.integers({"--depth"}, options_.depth, 0, "tokens in the cache before the measurement");
    o.integers({"--batch"}, options_.batch, 1, "sequences at once");
    o.integer({"--repetitions"}, options_.repetitions, 1, 100000, "measured runs of each case");
    o.integer({"--warmup"}, options_.warmup, 0, 100000, "runs before them that do not count");
    o.text({"--hw"}, options_.hardware, "NAME", "hardware profile of configs/hw; measured when this machine is it, else projected and labelled so").choices = hardware_profiles();
    o.group("Check");
    o.text({"--baseline"}, options_.baseline, "FILE", "record of an earlier bench to compare with", Takes::File);
    o.number({"--fail-if-slower"}, options_.fail_if_slower, 0, 100, "exit 5 when slower than the baseline by more than this many percent").shown_default.clear();
    add_activation_option(o, options_.act_bits);
    add_device_options(o, options_);
  }

  int run(Options& o, Session& session) override {
    if (o.given("--fail-if-slower") && options_.baseline.empty()) throw usage_error("usage", "--fail-if-slower", "needs --baseline RESULT.json to compare with");
    options_.args = session.args();
    options_.model = resolve_model(options_.model, session.context());
    require_hardware(options_.hardware);
    require_file(options_.baseline, "--baseline");
    session.check_destinations();
    return session.deliver(session.engine().bench(options_, session.context()), [&](const Json& r) { return render_bench(r, session.colour()); });
  }

 private:
  BenchOptions options_;
};

}  // namespace

std::unique_ptr<Command> make_bench() { return std::make_unique<Bench>(); }

}  // namespace teeny::cli
