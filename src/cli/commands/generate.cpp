#include <unistd.h>

#include <iostream>
#include <iterator>

#include "cli/command.h"
#include "cli/render.h"
#include "cli/resolve.h"
#include "teeny/core/error.h"

namespace teeny::cli {
namespace {

// Standard input whole; the newline that ends it is the file's, not the prompt's.
std::string read_prompt() {
  std::string text(std::istreambuf_iterator<char>(std::cin), {});
  if (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

class Generate : public Command {
 public:
  void setup(Options& o) override {
    o.group("What");
    add_model_option(o, options_);
    o.text({"--prompt"}, options_.prompt, "TEXT|-", "the text to continue; - reads standard input").required = true;
    o.flag({"--chat"}, options_.chat, "put the prompt through the model's chat template");
    o.integer({"--max-new-tokens"}, options_.max_new_tokens, 1, 1 << 24, "tokens at most");
    o.number({"--temperature"}, options_.temperature, 0, 100, "of sampling; 0: greedy");
    o.number({"--top-p"}, options_.top_p, 0, 1, "sample from the likeliest tokens that together have this probability");
    add_activation_option(o, options_.act_bits);
    add_device_options(o, options_);
  }

  int run(Options&, Session& session) override {
    options_.args = session.args();
    options_.model = resolve_model(options_.model, session.context());
    if (options_.prompt == "-") options_.prompt = read_prompt();
    if (options_.prompt.empty()) throw usage_error("usage", "--prompt", "is empty; give some text");
    session.check_destinations();
    return session.deliver(session.engine().generate(options_, session.context()), [](const Json& r) { return render_generate(r, ::isatty(STDOUT_FILENO)); });
  }

 private:
  GenerateOptions options_;
};

}  // namespace

std::unique_ptr<Command> make_generate() { return std::make_unique<Generate>(); }

}  // namespace teeny::cli
