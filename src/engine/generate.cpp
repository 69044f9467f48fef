#include "engine/generate.h"

#include <chrono>

#include "teeny/core/error.h"
#include "teeny/family/describe.h"
#include "teeny/family/tokenizer_source.h"
#include "teeny/record/record.h"
#include "teeny/runtime/runner.h"

namespace teeny {

Json run_generate(const GenerateOptions& options, Context& context) {
  RunRecord record("generate", options.args, context.seed);
  const auto runner = load_runner(open_source(options.model), context, {options.act_bits, options.gpu_layers});
  std::string text = options.prompt;
  bool add_special = true;
  if (options.chat) {
    const auto chat = load_chat_template(runner->source());
    if (!chat) throw input_error("generate", options.model, "has no chat template; leave --chat out to continue the prompt as plain text");
    text = chat->render({{"user", options.prompt}}, true);
    add_special = false;
  }
  const auto prompt = runner->tokenizer().encode(text, add_special);
  if (prompt.empty()) throw usage_error("generate", "--prompt", "is empty; give at least one character");
  GenerateParams params;
  params.max_new_tokens = options.max_new_tokens;
  params.temperature = options.temperature;
  params.top_p = options.top_p;
  params.seed = context.seed;
  const auto start = std::chrono::steady_clock::now();
  const auto completion = runner->generate({prompt}, params, context).at(0);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  record.json()["model"] = describe_model(runner->source(), runner->spec(), runner->quant(), options.hash);
  if (options.act_bits) record.json()["model"]["act_bits"] = options.act_bits == 8 ? Json(8) : Json();  // as it runs
  record.json()["generate"] = {{"prompt", options.prompt},
                               {"text", completion.text},
                               {"prompt_tokens", prompt.size()},
                               {"generated_tokens", completion.ids.size()},
                               {"finish", completion.finish},
                               {"tokens_per_s", seconds > 0 ? double(completion.ids.size()) / seconds : 0},
                               {"peak_host_bytes", peak_host_bytes()},
                               {"options", {{"temperature", options.temperature}, {"top_p", options.top_p}, {"max_new_tokens", options.max_new_tokens}, {"chat", options.chat}}}};
  record.finish(context);
  return record.json();
}

}  // namespace teeny
