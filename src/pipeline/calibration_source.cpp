#include "pipeline/calibration_source.h"

#include <algorithm>

#include "teeny/core/error.h"
#include "teeny/family/tokenizer_source.h"
#include "teeny/runtime/device.h"
#include "teeny/runtime/runner.h"

namespace teeny {
namespace {

constexpr double kFlopsAThread = 15e9;     // f32 on one core, a cautious figure: only for the estimate
constexpr double kFlopsAGpu = 50e12;
constexpr double kLongestSelfSeconds = 300;

// Sampled at temperature 1 from single start tokens (Williams, Chrysostomou, Aletras, NAACL 2025: as good as real text).
Calibration write_itself(const TensorSource& source, const ModelSpec& spec, const QuantizeOptions& options, Context& context) {
  const double tokens = double(options.samples) * double(options.seq_len);
  const double rate = context.device.starts_with("cuda") ? kFlopsAGpu : kFlopsAThread * context.thread_count();
  const double seconds = 2 * double(spec.parameters()) * tokens / rate;
  if (seconds > kLongestSelfSeconds)
    throw usage_error("calibration", source.path(), "has no text beside it, and letting the model write {:.0f} tokens is estimated at {:.0f} minutes; pass --calibration FILE, "
                      "or fewer --samples / --seq-len", tokens, seconds / 60);
  auto runner = load_runner(open_source(source.path()), context);
  Calibration result;
  result.source = "self";
  result.sha256 = "";
  result.seed = context.seed;
  result.seq_len = options.seq_len;
  GenerateParams params;
  params.max_new_tokens = options.seq_len - 1;
  params.temperature = 1;
  params.seed = context.seed;
  std::vector<std::vector<int32_t>> prompts;
  // Start tokens spread evenly over the vocabulary's ordinary part: 257 is prime to the sizes in use.
  const int64_t usable = std::min<int64_t>(runner->tokenizer().size(), spec.vocab) * 9 / 10;
  for (int64_t i = 0; i < options.samples; ++i) prompts.push_back({int32_t((int64_t(context.seed % 100003) + i * 257) % std::max<int64_t>(1, usable))});
  const auto written = runner->generate(prompts, params, context, {});
  std::string text;
  for (size_t i = 0; i < written.size(); ++i) {
    auto window = prompts[i];
    window.insert(window.end(), written[i].ids.begin(), written[i].ids.end());
    text.append(reinterpret_cast<const char*>(window.data()), window.size() * sizeof(int32_t));
    if (window.size() > 1) result.windows.push_back(std::move(window));
  }
  result.sha256 = sha256_hex(text);
  return result;
}

}  // namespace

Calibration choose_calibration(const TensorSource& source, const ModelSpec& spec, const QuantizeOptions& options, Context& context) {
  std::string path = options.calibration;
  if (path.empty() && !source.directory().empty())
    if (const auto beside = path_join(source.directory(), "calibration.txt"); path_exists(beside)) path = beside;
  if (path.empty() || path == "self") return write_itself(source, spec, options, context);
  const auto tokenizer = load_tokenizer(source);
  const auto chat = path.find(".jsonl") != std::string::npos ? load_chat_template(source) : nullptr;
  return load_calibration({path, options.samples, options.seq_len, context.seed}, *tokenizer, chat.get(), context);
}

}  // namespace teeny
