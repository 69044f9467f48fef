#include "cli/doctor_checks.h"

#include <unistd.h>

#include <filesystem>

#include <fmt/format.h>

#include "cli/fetch.h"
#include "cli/text.h"
#include "teeny/core/env.h"
#include "teeny/core/error.h"
#include "teeny/core/file.h"
#include "teeny/judge/judge.h"

namespace teeny::cli {
namespace fs = std::filesystem;
namespace {

DoctorCheck check_data(const char* name, const std::string& cache) {
  const std::string title = std::string("data: ") + name;
  try {
    if (set_is_present(load_manifest(name), cache)) return {title, "ok", path_join(cache, name), ""};
  } catch (const Error& error) {
    return {title, "failed", error.what(), "reinstall teeny"};
  }
  return {title, "missing", "not in " + path_join(cache, name), fmt::format("teeny doctor --fetch {}, or pass --data to teeny eval", name)};
}

std::string describe_gpu(const Json& gpu) {
  std::string text = text_at(gpu, {"name"}, "GPU");
  if (const double bytes = number_at(gpu, {"memory_bytes"}, 0); bytes > 0) text += ", " + human_bytes(uint64_t(bytes));
  if (const auto driver = text_at(gpu, {"driver"}); !driver.empty()) text += ", driver " + driver;
  return text;
}

// What each tier's probes found: "bubblewrap: 9 of 9 probes hold (right program passes, ...)", or what failed.
std::string describe_probes(const Json& self_test) {
  std::string out;
  for (const auto& [tier, probes] : self_test.items()) {
    if (tier == "languages") continue;
    if (!out.empty()) out += "; ";
    if (!probes.is_object()) {
      out += tier + ": " + (probes.is_string() ? probes.get<std::string>() : probes.dump());
      continue;
    }
    std::string held, failed;
    size_t n = 0;
    for (const auto& [probe, result] : probes.items()) {
      const bool ok = result == "ok";
      n += ok;
      (ok ? held : failed) += ((ok ? held : failed).empty() ? "" : ", ") + probe + (ok ? "" : ": " + result.get<std::string>());
    }
    out += fmt::format("{}: {} of {} probes hold ({})", tier, n, probes.size(), failed.empty() ? held : "failed: " + failed);
  }
  return out;
}

}  // namespace

std::vector<DoctorCheck> check_machine(const Json& machine) {
  std::vector<DoctorCheck> checks;
  std::string isa;
  if (const Json* list = find(machine, {"isa"}))
    for (const auto& name : *list) isa += fmt::format("{}{}", isa.empty() ? "" : " ", name.get<std::string>());
  const bool fast = isa.find("avx2") != std::string::npos || isa.find("neon") != std::string::npos;
  checks.push_back({"CPU", fast ? "ok" : "warning", fmt::format("{}, {} cores, {}", text_at(machine, {"cpu"}), text_at(machine, {"cores"}), isa.empty() ? "no vector extensions" : isa),
                    fast ? "" : "without AVX2 every kernel runs as plain loops: expect slow work"});
  const double memory = number_at(machine, {"memory_bytes"}, 0);
  checks.push_back({"memory", memory >= 4e9 ? "ok" : "warning", human_bytes(uint64_t(memory)), memory >= 4e9 ? "" : "models beyond a few hundred million weights will not fit"});
  checks.push_back({"system", "info", text_at(machine, {"os"}) + ", kernel " + text_at(machine, {"kernel"}), ""});
  return checks;
}

std::vector<DoctorCheck> check_engine_devices(const Json& devices, const Json& gpus) {
  std::vector<DoctorCheck> checks;
  for (size_t i = 0; devices.is_array() && i < devices.size(); ++i)
    checks.push_back({"GPU", "ok", text_at(devices[i], {"name"}) + (i < gpus.size() ? ": " + describe_gpu(gpus[i]) : ""), ""});
  if (checks.empty() && !gpus.empty())
    checks.push_back({"GPU", "warning", describe_gpu(gpus[0]) + ": the driver has it, libtorch cannot use it", "install a libtorch with CUDA whose version the driver supports"});
  if (checks.empty()) checks.push_back({"GPU", "info", "none that teeny can use; it works on the CPU", "for a GPU: an NVIDIA driver, and a build with CUDA"});
  return checks;
}

std::vector<DoctorCheck> check_languages() {
  std::vector<DoctorCheck> checks;
  const Json programs = judge_programs();
  for (const auto& [language, tools] : programs.items()) {
    std::string found;
    if (tools["paths"].is_array())
      for (const Json& path : tools["paths"]) found += (found.empty() ? "" : ", ") + path.get<std::string>();
    const std::string absent = text_at(tools, {"problem"});
    checks.push_back({"language: " + language, absent.empty() ? "ok" : "missing", absent.empty() ? found : absent, absent.empty() ? "" : "apt install " + text_at(tools, {"packages"})});
  }
  return checks;
}

std::vector<DoctorCheck> check_storage() {
  std::vector<DoctorCheck> checks;
  const std::string cache = cache_directory();
  std::error_code error;
  fs::path place = cache;
  while (!fs::exists(place, error) && place.has_relative_path()) place = place.parent_path();
  const auto space = fs::space(place, error);
  const bool writable = ::access(place.c_str(), W_OK) == 0;
  checks.push_back({"cache", writable ? "ok" : "failed", fmt::format("{}{}, {} free", cache, is_directory(cache) ? "" : " (not made yet)", human_bytes(error ? 0 : space.available)),
                    writable ? "" : "set TEENY_CACHE to a folder that can be written"});
  const std::string shipped = path_join(path_join(config_directory(), "models"), "teeny-demo-7m");
  const bool present = path_exists(path_join(shipped, "model.safetensors"));
  checks.push_back({"shipped model", present ? "ok" : "failed", shipped, present ? "" : "reinstall teeny"});
  for (const char* name : {"humaneval", "humaneval-mul"}) checks.push_back(check_data(name, cache));
  return checks;
}

std::vector<DoctorCheck> check_sandbox() {
  try {
    Judge judge({});
    const SandboxInfo info = judge.sandbox();
    const bool works = info.tier != "none";
    return {{"sandbox", works ? "ok" : "missing", (works ? "" : "no tier works, so generated programs are not run; ") + describe_probes(info.self_test), works ? "" : "apt install bubblewrap, and allow unprivileged user namespaces"}};
  } catch (const Error& error) {
    return {{"sandbox", "failed", error.what(), "apt install bubblewrap"}};
  }
}

}  // namespace teeny::cli
