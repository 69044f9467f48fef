#include "teeny/runtime/runner.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <mutex>

#include "runtime/cuda/model.h"
#include "runtime/cuda/runner.h"
#include "runtime/generator.h"
#include "runtime/loaded_model.h"
#include "runtime/session.h"
#include "teeny/core/error.h"
#include "teeny/family/tokenizer_source.h"
#include "teeny/kernels/fixed_order.h"

namespace teeny {
namespace {

class LocalRunner : public Runner {
 public:
  LocalRunner(std::unique_ptr<TensorSource> source, at::Device device, std::string why, Context& context, int act_bits)
      : source_(std::move(source)), model_(load_model(*source_, device, context, act_bits)), tokenizer_(load_tokenizer(*source_)), why_(std::move(why)) {}

  const ModelSpec& spec() const override { return model_.spec; }
  const Tokenizer& tokenizer() const override { return *tokenizer_; }
  const QuantConfig& quant() const override { return model_.quant; }
  const TensorSource& source() const override { return *source_; }

  void score(const std::vector<std::vector<int32_t>>& windows, const std::function<void(size_t, const Tensor&)>& visit, Context& context) override {
    size_t longest = 1;
    for (const auto& window : windows) longest = std::max(longest, window.size());
    const Rope rope = make_rope(model_.spec, int64_t(longest), model_.device);
    std::mutex mutex;
    const auto one = [&](size_t i) {
      context.check_interrupted();
      visit(i, forward(windows[i], rope));
      std::lock_guard lock(mutex);
      context.progress_advance();
    };
    // A window is one thread's work; only where that many windows of logits do not fit is each product shared instead.
    const uint64_t bytes = uint64_t(longest) * uint64_t(model_.spec.vocab) * 4 * 3 * uint64_t(at::get_num_threads());
    if (model_.device.is_cuda() || bytes > available_host_bytes() / 4) {
      for (size_t i = 0; i < windows.size(); ++i) one(i);
    } else {
      for_each_single_threaded(int64_t(windows.size()), [&](int64_t i) { one(size_t(i)); });
    }
  }

  std::vector<Completion> generate(const std::vector<std::vector<int32_t>>& prompts, const GenerateParams& params, Context& context,
                                   const std::function<void(size_t, const Completion&)>& done) override {
    return Generator(model_, *tokenizer_, prompts, params, context, done).run();
  }

  std::unique_ptr<Session> open_session(int64_t batch, int64_t capacity) override { return std::make_unique<LockstepSession>(model_, batch, capacity); }

  uint64_t decode_bytes() const override { return model_.decode_bytes(); }
  uint64_t macs_per_token() const override { return model_.macs_per_token(); }
  uint64_t weight_bytes_resident() const override { return model_.resident_bytes(); }
  std::string weights_note() const override { return fmt::format("decoded once to {}{}", model_.dtype == at::kFloat ? "f32" : "bf16", why_.empty() ? "" : "; " + why_); }
  uint64_t peak_device_bytes() const override { return peak_device_memory(model_.device); }

 private:
  Tensor forward(const std::vector<int32_t>& window, const Rope& rope) const {
    const int64_t T = int64_t(window.size());
    const Tensor ids = at::tensor(window, at::kInt).to(at::kLong).unsqueeze(0).to(model_.device);
    Attend attend;
    attend.positions = at::arange(T, at::TensorOptions().dtype(at::kLong).device(model_.device)).unsqueeze(0);
    attend.keys = T;
    Tensor hidden = model_.embed(ids);
    for (int64_t layer = 0; layer < model_.spec.layers; ++layer)
      hidden = block_forward(model_.spec, model_.blocks[size_t(layer)], layer, hidden, rope, attend);
    return model_.logits(hidden)[0];
  }

  std::unique_ptr<TensorSource> source_;
  LoadedModel model_;
  std::shared_ptr<Tokenizer> tokenizer_;
  std::string why_;  // why a GPU's own engine does not run this model; empty on the CPU
};

}  // namespace

std::unique_ptr<Runner> load_runner(std::unique_ptr<TensorSource> source, Context& context, const LoadOptions& options) {
  const at::Device device = open_device(context);
  std::string why;
  if (device.is_cuda()) {
    why = options.act_bits ? fmt::format("--act-bits {}", options.act_bits) : unsupported_reason(read_spec(*source), device);
    if (why.empty()) return make_gpu_runner(std::move(source), device, options.gpu_layers, context);
    context.warn("gpu-engine", fmt::format("the GPU engine does not run this model ({}); libtorch does, more slowly", why));
    if (held_layers(options.gpu_layers, INT64_MAX) < INT64_MAX)
      throw device_error("load", "--gpu-layers " + options.gpu_layers, "is for the GPU engine, which does not run this model ({}); leave it out, or use --device cpu", why);
  } else if (options.gpu_layers != "all" && options.gpu_layers != "auto" && held_layers(options.gpu_layers, INT64_MAX) > 0) {
    throw device_error("load", "--gpu-layers " + options.gpu_layers, "needs a GPU, and this run is on the CPU; leave it out, or see `teeny doctor`");
  }
  return std::make_unique<LocalRunner>(std::move(source), device, why, context, options.act_bits);
}

}  // namespace teeny
