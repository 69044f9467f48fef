// Invented records of one invented model in eight variants, for tests and for looking at reports. Every record carries the
// warning "sample-data"; the figures are plausible, and nobody measured them.
#pragma once
#include <cmath>
#include <string>
#include <vector>

#include "teeny/core/json.h"
#include "teeny/record/record.h"

namespace teeny::testing {

struct SampleVariant {
  const char* name;
  const char* method;  // empty: the original
  int bits;
  const char* format;
  const char* type;  // GGUF only
  double bits_per_weight, decode, prefill, perplexity, kld, top1, relative_error;
  int lost, gained;  // HumanEval problems against the original's 120 of 164
};

inline const std::vector<SampleVariant>& sample_variants() {
  static const std::vector<SampleVariant> list{
      {"sample-7b", "", 32, "safetensors", "", 32.0, 21.4, 3120, 6.842, 0, 1, 0, 0, 0},
      {"sample-7b-int8", "int8", 8, "bitsandbytes", "", 8.03, 62.5, 5890, 6.846, 0.00041, 0.985, 0.0071, 1, 1},
      {"sample-7b-Q4_K_M", "gguf", 4, "gguf", "Q4_K_M", 4.85, 104.2, 5410, 6.913, 0.0118, 0.944, 0.0562, 4, 2},
      {"sample-7b-awq-4bit", "awq", 4, "awq", "", 4.25, 117.8, 6105, 6.958, 0.0173, 0.931, 0.0718, 6, 3},
      {"sample-7b-gptq-4bit", "gptq", 4, "gptq", "", 4.15, 118.9, 6140, 6.949, 0.0161, 0.934, 0.0809, 5, 3},
      {"sample-7b-rtn-4bit", "rtn", 4, "gptq", "", 4.15, 118.5, 6122, 7.204, 0.0462, 0.894, 0.1021, 13, 3},
      {"sample-7b-gptq-3bit", "gptq", 3, "gptq", "", 3.15, 131.0, 5300, 7.611, 0.1032, 0.842, 0.1893, 21, 4},
      {"sample-7b-gptq-2bit", "gptq", 2, "gptq", "", 2.15, 149.6, 4980, 14.92, 0.8710, 0.611, 0.4312, 97, 0},
  };
  return list;
}

class SampleRecords {
 public:
  static std::vector<Json> all() {
    std::vector<Json> out;
    for (const auto& v : sample_variants()) {
      if (*v.method) out.push_back(quantize(v));
      out.push_back(bench(v));
      out.push_back(eval(v));
    }
    return out;
  }

  static Json model(const SampleVariant& v) {
    const double parameters = 7615616512.0;
    const auto text_or_null = [](const char* text) { return *text ? Json(text) : Json(nullptr); };
    const bool quantized = *v.method != 0, grouped = quantized && v.bits < 8 && !*v.type;
    return {{"path", std::string("models/") + v.name + (*v.type ? ".gguf" : "")}, {"name", v.name}, {"family", "qwen2"},
            {"parameters", uint64_t(parameters)}, {"fingerprint", std::string("sample:") + v.name}, {"sha256", nullptr},
            {"method", text_or_null(v.method)}, {"bits", v.bits}, {"group", grouped ? Json(128) : Json(nullptr)},
            {"symmetric", quantized ? Json(std::string(v.method) != "awq") : Json(nullptr)}, {"format", v.format}, {"type", text_or_null(v.type)},
            {"bytes", uint64_t(parameters * v.bits_per_weight / 8)}, {"bits_per_weight", v.bits_per_weight}, {"act_bits", nullptr}};
  }

  static Json quantize(const SampleVariant& v) {
    Json record = start("quantize", v, 412.5);
    Json tensors = Json::array();
    const char* parts[] = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"};
    for (int layer = 0; layer < 28; ++layer)
      for (int part = 0; part < 7; ++part) {
        const double depth = std::abs(layer - 13.5) / 13.5;
        const double error = v.relative_error * (0.85 + 0.35 * depth * depth * depth + 0.2 * wobble(layer * 7 + part)) * (part == 6 ? 1.15 : 1);
        tensors.push_back({{"name", "model.layers." + std::to_string(layer) + "." + parts[part] + ".weight"}, {"encoding", std::string(v.method) + std::to_string(v.bits)},
                           {"bytes", uint64_t((part < 4 ? 7.3e6 : 33.9e6) * v.bits_per_weight / 4)}, {"relative_error", error}, {"sqnr_db", -20 * std::log10(error)}});
      }
    record["quantize"] = {{"seconds_by_phase", {{"calibrate", 121.2}, {"quantize", 262.1}, {"write", 29.2}}}, {"peak_host_bytes", 9'400'000'000u},
                          {"peak_device_bytes", 11'800'000'000u},
                          {"calibration", {{"source", "self"}, {"sha256", nullptr}, {"samples", 128}, {"tokens", 262144}, {"template", "chatml"}, {"seed", 0}}},
                          {"tensors", tensors}, {"fallbacks", Json::array()}};
    return record;
  }

  static Json bench(const SampleVariant& v) {
    Json record = start("bench", v, 61.0);
    Json cases = Json::array();
    cases.push_back(bench_case("pp512", "measured", "Sample GPU 48 GB", 512, 0, v.prefill));
    cases.push_back(bench_case("tg128", "measured", "Sample GPU 48 GB", 0, 128, v.decode));
    cases.push_back(bench_case("tg128", "projected", "rtx4090", 0, 128, v.decode * 0.62));
    const double bytes = 7615616512.0 * v.bits_per_weight / 8;
    const bool metered = v.bits != 3;
    const Json energy = {{"source", metered ? "nvml-counter" : "not measured"}, {"joules", metered ? Json(128 * 5 * 300 / v.decode) : Json(nullptr)},
                         {"joules_per_token", metered ? Json(300 / v.decode) : Json(nullptr)}, {"idle_w", metered ? Json(71.0) : Json(nullptr)}};
    record["bench"] = {{"cases", cases}, {"peak_host_bytes", 2'100'000'000u}, {"peak_device_bytes", uint64_t(bytes * 1.04 + 1.3e9)}, {"load_seconds", 3.1},
                       {"noise", {{"load_average", 0.4}}}, {"energy", energy}};
    return record;
  }

  static Json eval(const SampleVariant& v) {
    Json record = start("eval", v, 733.0);
    Json tasks = Json::array(), comparison = Json::array();
    tasks.push_back({{"name", "ppl"}, {"metric", "perplexity"}, {"value", v.perplexity}, {"stderr", 0.041}, {"ci95", {v.perplexity - 0.08, v.perplexity + 0.08}},
                     {"n", 146432}, {"per_item", Json::array()}});
    if (*v.method)
      tasks.push_back({{"name", "kld"}, {"metric", "kld"}, {"value", v.kld}, {"stderr", v.kld * 0.04}, {"ci95", {v.kld * 0.92, v.kld * 1.09}}, {"n", 146432},
                       {"per_item", Json::array()}, {"details", {{"median", v.kld * 0.3}, {"p99_9", v.kld * 60}, {"max", v.kld * 240}, {"top1_agreement", v.top1}}}});
    tasks.push_back(humaneval(v));
    tasks.push_back({{"name", "humaneval-mul/java"}, {"metric", "pass@1"}, {"value", nullptr}, {"stderr", nullptr}, {"ci95", nullptr}, {"n", 0},
                     {"per_item", Json::array()}, {"not_run", "no Java compiler (javac) on this machine"}});
    const int passed = 120 - v.lost + v.gained;
    if (*v.method) comparison.push_back(compare(v));
    const int failed = 164 - passed;
    Json errors = {{"wrong answer", failed - failed / 3 - failed / 9}, {"runtime error", failed / 3}, {"syntax error", v.bits == 2 ? failed / 9 : 0},
                   {"timeout", v.bits == 2 ? 0 : failed / 9}};
    record["eval"] = {{"tasks", tasks}, {"comparison", comparison}, {"errors", errors}, {"sandbox", {{"tier", "bwrap+seccomp"}, {"self_test", "8 of 8"}}},
                      {"toolchains", {{"python", "3.11.2"}}}};
    return record;
  }

 private:
  static double wobble(int i) { return 0.5 + 0.5 * std::sin(i * 12.9898 + 4.1); }

  static Json start(const char* command, const SampleVariant& v, double seconds) {
    Json r = {{"schema", kResultSchema}, {"command", command}, {"id", std::string("sample-") + command + "-" + v.name}, {"started", "2000-01-01T00:00:00.000Z"},
              {"seconds", seconds}, {"status", "ok"}, {"teeny", {{"version", "0.0.0"}, {"git", "sample"}, {"build", "sample"}, {"libtorch", nullptr}, {"cuda", nullptr}}}};
    r["machine"] = {{"cpu", "Sample CPU"}, {"cores", 16}, {"isa", {"avx2", "fma"}}, {"memory_bytes", 68'719'476'736u}, {"os", "Sample OS"}, {"kernel", "Linux 0.0"},
                    {"gpus", Json::array({Json{{"name", "Sample GPU 48 GB"}, {"memory_bytes", 48'000'000'000u}, {"driver", "000.00"}, {"sm_count", 100}, {"power_limit_w", 300}, {"clocks", {{"sm", 1700}}}}})}};
    r["device"] = "cuda:0";
    r["args"] = Json::array({"teeny", command});
    r["seed"] = 0;
    r["model"] = model(v);
    r["energy"] = energy_not_measured();
    r["warnings"] = Json::array({Json{{"code", "sample-data"}, {"message", "Invented sample data: nothing here was measured."}}});
    return r;
  }

  static Json bench_case(const char* name, const char* kind, const char* hardware, int prompt, int generate, double speed) {
    Json samples = Json::array();
    if (std::string(kind) == "measured")
      for (double f : {0.996, 1.0, 1.003, 0.998, 1.004}) samples.push_back(speed * f);
    return {{"name", name}, {"kind", kind}, {"hardware", hardware}, {"prompt", prompt}, {"generate", generate}, {"depth", 0}, {"batch", 1},
            {"samples_tokens_per_s", samples}, {"median", speed}, {"mad", speed * 0.003}, {"p10", speed * 0.996}, {"p90", speed * 1.004},
            {"ttft_ms", prompt ? Json(1000 * prompt / speed) : Json(nullptr)}, {"response_s", nullptr},
            {"token_latency_ms", generate ? Json{{"p50", 1000 / speed}, {"p90", 1010 / speed}, {"p99", 1080 / speed}} : Json(nullptr)}, {"bandwidth_gb_s", 520.0}, {"bandwidth_fraction", 0.68}};
  }

  // Problems 0..119 pass for the original; a variant loses the first `lost` of them and gains the first `gained` of the rest.
  static Json humaneval(const SampleVariant& v) {
    Json items = Json::array();
    for (int i = 0; i < 164; ++i) {
      const bool passed = i < 120 ? i >= v.lost : i - 120 < v.gained;
      items.push_back({{"id", "HumanEval/" + std::to_string(i)}, {"passed", passed}});
    }
    const double p = (120 - v.lost + v.gained) / 164.0, n = 164, z = 1.959963984540054;
    const double middle = (p + z * z / (2 * n)) / (1 + z * z / n), half = z / (1 + z * z / n) * std::sqrt(p * (1 - p) / n + z * z / (4 * n * n));
    return {{"name", "humaneval"}, {"metric", "pass@1"}, {"value", p}, {"stderr", std::sqrt(p * (1 - p) / n)}, {"ci95", {middle - half, middle + half}}, {"n", 164}, {"per_item", items}};
  }

  static Json compare(const SampleVariant& v) {
    const auto two_sided = [](int b, int c) {  // exact McNemar
      double sum = 0;
      for (int k = 0; k <= std::min(b, c); ++k) sum += std::exp(std::lgamma(b + c + 1.0) - std::lgamma(k + 1.0) - std::lgamma(b + c - k + 1.0) - (b + c) * std::log(2.0));
      return std::min(1.0, 2 * sum);
    };
    Json gained = Json::array(), lost = Json::array();
    for (int i = 0; i < v.lost; ++i) lost.push_back("HumanEval/" + std::to_string(i));
    for (int i = 0; i < v.gained; ++i) gained.push_back("HumanEval/" + std::to_string(120 + i));
    const double d = (v.gained - v.lost) / 164.0, half = 1.96 * std::sqrt((v.gained + v.lost) / 164.0 - d * d) / std::sqrt(164.0);
    return {{"reference", "models/sample-7b"}, {"task", "humaneval"}, {"difference", d}, {"ci95", {d - half, d + half}}, {"test", "mcnemar-exact"},
            {"p", two_sided(v.lost, v.gained)}, {"p_holm", nullptr}, {"gained", gained}, {"lost", lost}, {"detectable_difference", 0.052}};
  }
};

}  // namespace teeny::testing
