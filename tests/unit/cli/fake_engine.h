// An engine that computes nothing: it keeps the options it was handed and returns a small, valid record.
#pragma once
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "teeny/cli/app.h"
#include "teeny/core/error.h"
#include "teeny/record/record.h"

namespace teeny::cli {

class FakeEngine : public Engine {
 public:
  Json quantize(const QuantizeOptions& o, Context& c) override { return quantized = o, answer("quantize", o, c); }
  Json convert(const ConvertOptions& o, Context& c) override { return converted = o, answer("convert", o, c); }
  Json bench(const BenchOptions& o, Context& c) override { return benched = o, answer("bench", o, c); }
  Json eval(const EvalOptions& o, Context& c) override { return evaluated = o, answer("eval", o, c); }
  Json generate(const GenerateOptions& o, Context& c) override { return generated = o, answer("generate", o, c); }
  Json verify(const CommonOptions& o, Context& c) override { return answer("inspect", o, c); }
  Json devices(Context&) override { return Json::array(); }

  QuantizeOptions quantized;
  ConvertOptions converted;
  BenchOptions benched;
  EvalOptions evaluated;
  GenerateOptions generated;
  std::vector<std::string> calls;
  std::string device;
  int threads = 0;
  uint64_t seed = 0;
  std::vector<Warning> warnings;
  std::function<void()> before;                 // to throw
  std::function<void(Json&)> change;            // to alter the record

 private:
  Json answer(const char* command, const CommonOptions& options, Context& context) {
    calls.push_back(command);
    device = context.device, threads = context.threads, seed = context.seed;
    warnings = context.warnings();
    if (before) before();
    RunRecord record(command, options.args, context.seed);
    record.json()["model"] = {{"path", "somewhere"}, {"name", "tiny"}, {"bytes", 1000}, {"bits_per_weight", 4.25}};
    record.json()[command] = Json::object();
    record.json()["generate"]["text"] = "hello";
    record.finish(context);
    if (change) change(record.json());
    return record.json();
  }
};

struct Outcome {
  int code;
  std::string out, err;
};

inline Outcome teeny_run(std::vector<std::string> args, Engine* engine) {
  args.insert(args.begin(), "teeny");
  std::vector<const char*> argv;
  for (const auto& arg : args) argv.push_back(arg.c_str());
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  const int code = run(int(argv.size()), argv.data(), engine);
  Outcome outcome{code, testing::internal::GetCapturedStdout(), testing::internal::GetCapturedStderr()};
  return outcome;
}

}  // namespace teeny::cli
