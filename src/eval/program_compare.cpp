#include "eval/program_compare.h"

#include <filesystem>
#include <map>

#include "eval/statistics.h"
#include "teeny/core/env.h"
#include "teeny/core/error.h"
#include "teeny/core/version.h"
#include "teeny/stats/equivalence.h"
#include "teeny/stats/tests.h"

namespace teeny {

Json reference_cache_key(const std::string& fingerprint, const std::string& device, const ProgramSettings& s) {
  std::string ids;
  for (const auto& p : s.problems) ids += p.task_id + "\n";
  const auto v = version_info();
  return {{"model", fingerprint},           {"task", s.name},
          {"protocol", s.protocol},         {"problems_sha256", s.problems_sha256},
          {"tasks_sha256", sha256_hex(ids)}, {"samples", s.samples},
          {"max_new_tokens", s.params.max_new_tokens}, {"temperature", s.params.temperature},
          {"top_p", s.params.top_p},        {"seed", s.params.temperature > 0 ? s.params.seed : 0},
          {"add_special", s.add_special},   {"timeout", s.timeout_s},
          {"device", device},               {"teeny", v.version + " " + v.git}};
}

std::string reference_cache_path(const Json& key) {
  return path_join(path_join(cache_directory(), "eval"), sha256_hex(dump_json(key, -1)).substr(0, 32) + ".json");
}

namespace {
// nullopt: nothing stored, or nothing usable (a damaged file is computed again, not an error).
std::optional<std::vector<ProblemResult>> read_cache(const std::string& path, const Json& key, const ProgramSettings& settings) {
  if (!path_exists(path)) return std::nullopt;
  try {
    const Json stored = read_json_file(path, "eval");
    if (stored.at("key") != key || stored.at("results").size() != settings.problems.size()) return std::nullopt;
    std::vector<ProblemResult> out;
    for (const auto& item : stored.at("results")) out.push_back(problem_result_from_json(item));
    return out;
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

void write_cache(const std::string& path, const Json& key, const std::vector<ProblemResult>& results, Context& context) {
  Json items = Json::array();
  for (const auto& r : results) items.push_back(to_json(r));
  try {
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    write_file(path, dump_json({{"key", key}, {"results", items}}));
  } catch (const std::exception& e) {
    context.warn("cache-not-written", fmt::format("the reference's verdicts could not be kept in {}: {}; they will be computed again", path, e.what()));
  }
}
}  // namespace

std::vector<ProblemResult> reference_results(EvalJob& job, const ProgramSettings& settings, bool& cached) {
  auto& reference = *job.reference();
  Json key = reference_cache_key(reference.fingerprint(), job.context.device, settings);
  // A verdict is worth what it was judged with.
  key["sandbox"] = job.judge().sandbox().tier;
  key["tools"] = job.judge().toolchain(settings.language).value("version", Json(nullptr));
  const std::string path = reference_cache_path(key);
  if (auto stored = read_cache(path, key, settings)) {
    cached = true;
    job.context.info(fmt::format("{}: the reference's verdicts come from {}", settings.name, path));
    return *stored;
  }
  auto results = generate_and_judge(job, settings, reference.get(job.context), true, false);
  write_cache(path, key, results, job.context);
  return results;
}

Json compare_programs(const std::string& reference, const std::string& task, const std::vector<ProblemResult>& ours, const std::vector<ProblemResult>& theirs,
                      bool cached, double equivalence_margin) {
  std::map<std::string, const ProblemResult*> by_id;
  for (const auto& r : theirs) by_id[r.task_id] = &r;
  std::vector<double> a, b;
  Json gained = Json::array(), lost = Json::array();
  bool single = true;
  for (const auto& r : ours) {
    const auto found = by_id.find(r.task_id);
    if (found == by_id.end() || r.samples == 0 || found->second->samples == 0) continue;
    a.push_back(r.rate());
    b.push_back(found->second->rate());
    if (a.back() > b.back()) gained.push_back(r.task_id);
    if (a.back() < b.back()) lost.push_back(r.task_id);
    single = single && r.samples == 1 && found->second->samples == 1;
  }
  auto paired = estimate_difference(a, b);
  const int64_t n = int64_t(a.size());
  if (single && n) {
    const auto score = tango_interval(n, int64_t(gained.size()), int64_t(lost.size()));
    paired.ci95 = {score.low, score.high};
  }
  widen_difference(paired, n);
  const double discordance = n ? double(gained.size() + lost.size()) / double(n) : 0;
  Json out = {{"reference", reference}, {"task", task}, {"difference", n ? Json(paired.mean) : Json(nullptr)}, {"ci95", interval_json(paired.ci95)}};
  // Several samples a problem are rates, not outcomes: McNemar's test does not apply.
  out["test"] = single ? "mcnemar-exact" : "paired-bootstrap";
  out["p"] = single && n ? Json(mcnemar_exact(int64_t(gained.size()), int64_t(lost.size()))) : n ? number_json(paired.p) : Json(nullptr);
  out["p_holm"] = nullptr;
  out["gained"] = gained;
  out["lost"] = lost;
  out["detectable_difference"] = !n ? Json(nullptr) : number_json(single ? detectable_difference(n, discordance) : detectable_by(paired));
  out["n"] = n;
  out["details"] = {{"cached", cached}, {"reference_value", n ? Json(estimate_mean(b).mean) : Json(nullptr)}, {"units", "problems"}};
  if (n && equivalence_margin >= 0) {
    const double margin = equivalence_margin / 100;
    if (single) {
      const double p = tost_paired(n, int64_t(gained.size()), int64_t(lost.size()), std::min(margin, 0.999));
      out["details"]["equivalence"] = {{"margin", margin}, {"p", p}, {"equivalent", p <= 0.05}, {"test", "two one-sided score tests (Tango)"}};
    } else {
      out["details"]["equivalence"] = equivalence_json(paired, margin, n);
    }
  }
  return out;
}

}  // namespace teeny
