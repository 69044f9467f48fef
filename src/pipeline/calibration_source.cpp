#include "pipeline/calibration_source.h"

#include "pipeline/self_calibration.h"
#include "teeny/core/error.h"
#include "teeny/plan/work.h"
#include "teeny/family/tokenizer_source.h"

namespace teeny {
Calibration choose_calibration(const TensorSource& source, const Plan& plan, const QuantizeOptions& options, Context& context) {
  const std::string path = options.calibration.empty() ? default_calibration(source.directory()) : options.calibration;
  if (path == "self" && options.calibration.empty())
    check_self_calibration(options, source.path(), expected_seconds(count_work(plan, options, true), measure_speed(context.thread_count())));
  if (path == "self") return write_calibration(source, options, context);
  const auto tokenizer = load_tokenizer(source);
  const auto chat = path.find(".jsonl") != std::string::npos ? load_chat_template(source) : nullptr;
  return load_calibration({path, options.samples, options.seq_len, context.seed}, *tokenizer, chat.get(), context);
}

}  // namespace teeny
