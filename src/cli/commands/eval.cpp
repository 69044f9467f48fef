#include <algorithm>

#include "cli/command.h"
#include "cli/render.h"
#include "cli/resolve.h"
#include "teeny/core/error.h"
#include "teeny/core/file.h"

namespace teeny::cli {
namespace {

class Eval : public Command {
 public:
  void setup(Options& o) override {
    o.group("What");
    o.texts({"--model"}, models_, "MODEL", std::string(kModelHelp) + "; given again: a further model, measured in the same pass over text and reference", Takes::File);
    o.text({"--reference"}, options_.reference, "MODEL", "model to compare with, usually the unquantized one", Takes::File);
    o.choices({"--tasks"}, options_.tasks, {"ppl", "kld", "humaneval", "humaneval-mul", "demo-code"}, "what to measure").shown_default = "ppl; with --reference ppl,kld";
    o.choice({"--protocol"}, options_.protocol, {"base", "instruct"}, "how code prompts are put").shown_default = "instruct when the model has a chat template, else base";
    o.group("Text");
    o.integer({"--ctx"}, options_.ctx, 2, 1 << 24, "tokens a window");
    o.text({"--text"}, options_.text, "FILE", "text for ppl and kld (.gz too)", Takes::File).shown_default = "the text that ships with the shipped model";
    o.choice({"--ppl-protocol"}, options_.ppl_protocol, {"windows", "llama.cpp"}, "which tokens ppl and kld score: all of a window but its first, or its second half as llama-perplexity does");
    setup_code(o);
    o.group("Check");
    o.number({"--fail-if-loss"}, options_.fail_if_loss, 0, 100, "exit 5 when the loss against the reference surely exceeds this many points").shown_default.clear();
    o.number({"--require-loss-below"}, options_.require_loss_below, 0, 100, "exit 5 unless the loss is surely below this many points").shown_default.clear();
    o.number({"--equivalence-margin"}, options_.equivalence_margin, 0, 100, "test whether the models differ by less than this many points (two one-sided tests)").shown_default.clear();
    add_activation_option(o, options_.act_bits);
    add_device_options(o, options_);
  }

  int run(Options& o, Session& session) override {
    const bool scores_only = !options_.score_completions.empty();
    check_combinations(o);
    options_.args = session.args();
    if (models_.empty()) models_.emplace_back();
    if (!scores_only || o.given("--model"))
      for (auto& model : models_) model = resolve_model(model, session.context());
    options_.model = models_.front();
    options_.also.assign(models_.begin() + 1, models_.end());
    if (!options_.reference.empty()) options_.reference = resolve_model(options_.reference, session.context());
    if (options_.tasks.empty() && !scores_only) options_.tasks = options_.reference.empty() ? std::vector<std::string>{"ppl"} : std::vector<std::string>{"ppl", "kld"};
    require_file(options_.text, "--text");
    require_file(options_.score_completions, "--score-completions");
    if (!options_.data.empty() && !path_exists(options_.data)) throw input_error("input", options_.data, "no such file or directory (given with --data)");
    if (!options_.save_completions.empty()) require_writable(options_.save_completions, "--save-completions");
    session.check_destinations();
    return session.deliver(session.engine().eval(options_, session.context()), [&](const Json& r) {
      std::string out = render_eval(r, session.colour());
      if (r.contains("variants"))
        for (const Json& other : r["variants"]) out += "\n" + render_eval(other, session.colour());
      return out;
    });
  }

 private:
  void setup_code(Options& o) {
    o.group("Code");
    o.choices({"--languages"}, options_.languages, {"python", "cpp", "java", "cs", "ts", "js", "php", "sh"}, "of humaneval-mul").shown_default = "all";
    o.integer({"--samples-per-task"}, options_.samples_per_task, 1, 100000, "completions a problem");
    o.integers({"--pass-at"}, options_.pass_at, 1, "k of pass@k");
    o.number({"--temperature"}, options_.temperature, 0, 100, "of sampling; 0: greedy");
    o.integer({"--max-new-tokens"}, options_.max_new_tokens, 0, 1 << 24, "tokens a completion; 0: what the task asks for");
    o.integer({"--batch"}, options_.batch, 0, 1 << 20, "sequences at once; 0: chosen from memory");
    o.integer({"--limit"}, options_.limit, 0, kNoMaximum, "problems or windows at most; 0: all");
    o.text({"--data"}, options_.data, "PATH", "problems in HumanEval's form: a .jsonl or .jsonl.gz file, or a folder", Takes::File).shown_default = "the cache";
    o.number({"--timeout"}, options_.timeout, 0, 86400, "seconds a program may run; 0: the task's own");
    o.text({"--save-completions"}, options_.save_completions, "FILE", "keep completions as JSON lines {task_id, completion}", Takes::File);
    o.text({"--score-completions"}, options_.score_completions, "FILE", "score such a file; needs no model", Takes::File);
    o.flag({"--resume"}, options_.resume, "go on with the completions that an interrupted run of the same command has written");
    o.flag({"--i-accept-unsandboxed"}, options_.accept_unsandboxed, "run generated programs even where no sandbox works; recorded in the result");
  }

  void check_combinations(const Options& o) const {
    const bool kld = std::count(options_.tasks.begin(), options_.tasks.end(), "kld") > 0;
    if (kld && options_.reference.empty()) throw usage_error("usage", "--tasks kld", "needs --reference MODEL, the model to compare with");
    if (o.given("--languages") && std::count(options_.tasks.begin(), options_.tasks.end(), "humaneval-mul") == 0)
      throw usage_error("usage", "--languages", "chooses among humaneval-mul's; add it to --tasks, or leave --languages out");
    for (const char* check : {"--fail-if-loss", "--require-loss-below"})
      if (o.given(check) && options_.reference.empty()) throw usage_error("usage", check, "needs --reference MODEL, the model to compare with");
    const int64_t largest = *std::max_element(options_.pass_at.begin(), options_.pass_at.end());
    if (largest > options_.samples_per_task && options_.score_completions.empty())
      throw usage_error("usage", "--pass-at", "{} needs as many completions a problem; pass --samples-per-task {} or more", largest, largest);
    if (options_.samples_per_task > 1 && options_.temperature == 0)
      throw usage_error("usage", "--samples-per-task", "{} completions at temperature 0 would all be the same; pass --temperature, for example 0.8", options_.samples_per_task);
    if (options_.pass_at.empty()) throw usage_error("usage", "--pass-at", "is empty; give at least one k");
  }

  EvalOptions options_;
  std::vector<std::string> models_;
};

}  // namespace

std::unique_ptr<Command> make_eval() { return std::make_unique<Eval>(); }

}  // namespace teeny::cli
