#include "cli/command.h"

namespace teeny::cli {
namespace {

class Inspect : public Command {
 public:
  void setup(Options&) override {}
  int run(Options&, Session&) override { return 0; }
};

}  // namespace

std::unique_ptr<Command> make_inspect() { return std::make_unique<Inspect>(); }

}  // namespace teeny::cli
