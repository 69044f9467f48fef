#include "cli/command.h"
#include "cli/text.h"
#include "teeny/core/error.h"
#include "teeny/record/record.h"
#include "teeny/report/report.h"

namespace teeny::cli {
namespace {

class Report : public Command {
 public:
  void setup(Options& o) override {
    o.group("What");
    o.positionals("RESULT.json...|DIR", inputs_, "result records, or directories of them");
    o.text({"--out"}, out_, "DIR", "where the report goes", Takes::Directory);
    o.choice({"--comparison-type"}, comparison_, {"methods", "bits", "models", "hardware"}, "what the series of the pictures are");
    o.text({"--title"}, title_, "TEXT", "of the report").shown_default = "made from the records";
  }

  int run(Options&, Session& session) override {
    if (inputs_.empty()) throw usage_error("usage", "report", "needs result records; give RESULT.json files, or the directory of --results");
    session.check_destinations();
    require_writable(out_, "--out");
    RunRecord record("report", session.args(), session.common().seed);
    const auto result = write_report(load_records(inputs_), out_, {comparison_from_name(comparison_), title_, session.common().threads});
    record.json()["report"] = result.summary;
    record.finish(session.context());
    return session.deliver(record.json(), [&](const Json& r) {
      std::string out = style(session.colour(), kBold, text_at(r, {"report", "headline"})) + "\n";
      for (const auto& file : result.files) out += "  " + file + "\n";
      return out;
    });
  }

 private:
  std::vector<std::string> inputs_;
  std::string out_ = "report", comparison_ = "methods", title_;
};

}  // namespace

std::unique_ptr<Command> make_report() { return std::make_unique<Report>(); }

}  // namespace teeny::cli
