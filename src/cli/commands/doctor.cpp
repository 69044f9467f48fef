#include "cli/command.h"
#include "cli/doctor_checks.h"
#include "cli/fetch.h"
#include "cli/render.h"
#include "teeny/core/env.h"
#include "teeny/core/error.h"
#include "teeny/core/version.h"
#include "teeny/record/record.h"

namespace teeny::cli {
namespace {

class Doctor : public Command {
 public:
  void setup(Options& o) override {
    o.group("What");
    o.choice({"--fetch"}, fetch_, {"humaneval", "humaneval-mul"}, "download this problem set into the cache, pinned by sha256");
  }

  int run(Options&, Session& session) override {
    session.check_destinations();
    RunRecord record("doctor", session.args(), session.common().seed);
    if (!fetch_.empty()) fetch_set(load_manifest(fetch_), cache_directory(), session.context());
    std::vector<DoctorCheck> checks = check_versions();
    const auto add = [&checks](std::vector<DoctorCheck> more) { checks.insert(checks.end(), more.begin(), more.end()); };
    add(check_machine(record.json()["machine"]));
    add(check_devices(session, record.json()["machine"]["gpus"]));
    add(check_sandbox());
    add(check_languages());
    add(check_storage());
    Json& list = record.json()["doctor"]["checks"] = Json::array();
    for (const auto& check : checks)
      list.push_back({{"name", check.name}, {"status", check.status}, {"detail", check.detail}, {"advice", check.advice.empty() ? Json() : Json(check.advice)}});
    record.finish(session.context());
    return session.deliver(record.json(), [&](const Json& r) { return render_doctor(r, session.colour()); });
  }

 private:
  static std::vector<DoctorCheck> check_versions() {
    const VersionInfo v = version_info();
    return {{"teeny", "info", fmt::format("{}, git {}, {} ({})", v.version, v.git, v.build, v.compiler), ""},
            {"libtorch", v.libtorch.empty() ? "missing" : "info", v.libtorch.empty() ? "built without the engine" : v.libtorch, v.libtorch.empty() ? "build with -DTEENY_ENGINE=ON" : ""},
            {"CUDA", "info", v.cuda.empty() ? "built for the CPU only" : v.cuda, ""}};
  }

  // The one part that loads libtorch; a machine where that fails is what doctor is for.
  static std::vector<DoctorCheck> check_devices(Session& session, const Json& gpus) {
    try {
      auto checks = check_engine_devices(session.engine().devices(session.context()), gpus);
      checks.insert(checks.begin(), {"engine", "ok", "loads", ""});
      return checks;
    } catch (const Error& error) {
      return {{"engine", "failed", error.what(), "reinstall teeny, or build with -DTEENY_ENGINE=ON"}};
    } catch (const std::exception& error) {
      return {{"engine", "failed", error.what(), "check the driver and libtorch"}};
    }
  }

  std::string fetch_;
};

}  // namespace

std::unique_ptr<Command> make_doctor() { return std::make_unique<Doctor>(); }

}  // namespace teeny::cli
