#include "cli/command.h"

namespace teeny::cli {
namespace {

class Doctor : public Command {
 public:
  void setup(Options&) override {}
  int run(Options&, Session&) override { return 0; }
};

}  // namespace

std::unique_ptr<Command> make_doctor() { return std::make_unique<Doctor>(); }

}  // namespace teeny::cli
