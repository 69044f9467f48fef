#include "cli/command.h"
#include "cli/completion.h"

namespace teeny::cli {
namespace {

class Completion : public Command {
 public:
  void setup(Options& o) override {
    o.group("What");
    o.positionals("bash|zsh|fish", shells_, "the shell").choices = {"bash", "zsh", "fish"};
  }

  int run(Options&, Session&) override {
    write_stdout(completion_script(shells_));
    return 0;
  }

 private:
  std::vector<std::string> shells_;
};

}  // namespace

std::unique_ptr<Command> make_completion() { return std::make_unique<Completion>(); }

}  // namespace teeny::cli
