#include "cli/command.h"

namespace teeny::cli {
namespace {

class Report : public Command {
 public:
  void setup(Options&) override {}
  int run(Options&, Session&) override { return 0; }
};

}  // namespace

std::unique_ptr<Command> make_report() { return std::make_unique<Report>(); }

}  // namespace teeny::cli
