#include "bench/baseline.h"

#include "teeny/core/error.h"
#include "teeny/record/record.h"

namespace teeny {
namespace {

bool same_case(const Json& a, const Json& b) {
  for (const char* key : {"name", "prompt", "generate", "depth", "batch"})
    if (a.value(key, Json()) != b.value(key, Json())) return false;
  return a["kind"] == "measured" && b["kind"] == "measured" && a["median"].is_number() && b["median"].is_number();
}
}  // namespace

Json compare_with_baseline(const BenchOptions& options, const Json& cases) {
  const auto records = load_records({options.baseline});
  Json out = {{"path", options.baseline}, {"cases", Json::array()}};
  double worst = -1e300;
  std::string worst_text;
  for (const auto& record : records) {
    if (!record.contains("bench") || !record["bench"].is_object()) continue;
    for (const auto& before : record["bench"]["cases"])
      for (const auto& now : cases) {
        if (!same_case(before, now)) continue;
        const double old_rate = before["median"], rate = now["median"], slower = 100 * (old_rate - rate) / old_rate;
        out["cases"].push_back({{"name", now["name"]}, {"prompt", now["prompt"]}, {"generate", now["generate"]}, {"depth", now["depth"]}, {"batch", now["batch"]},
                                {"baseline", old_rate}, {"baseline_hardware", before["hardware"]}, {"median", rate}, {"slower_percent", slower}});
        if (slower <= worst) continue;
        worst = slower;
        worst_text = fmt::format("{}: {:.1f} tokens/s, {:.1f} in the baseline, {:.1f} % {}", now["name"].get<std::string>(), rate, old_rate, std::abs(slower), slower > 0 ? "slower" : "faster");
      }
  }
  if (out["cases"].empty())
    throw input_error("bench", options.baseline, "has no measured case in common with this run; repeat its --prompt, --generate, --depth and --batch");
  if (options.fail_if_slower >= 0) {
    const bool passed = worst <= options.fail_if_slower;
    out["check"] = {{"passed", passed}, {"fail_if_slower", options.fail_if_slower}, {"message", worst_text + fmt::format("; --fail-if-slower {}", options.fail_if_slower)}};
  }
  return out;
}

}  // namespace teeny
