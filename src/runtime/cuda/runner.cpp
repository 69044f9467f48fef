#include "runtime/cuda/runner.h"

#include "runtime/cuda/generator.h"
#include "runtime/cuda/session.h"
#include "teeny/family/tokenizer_source.h"
#include "teeny/runtime/device.h"

namespace teeny {
namespace {

class GpuRunner final : public Runner {
 public:
  GpuRunner(std::unique_ptr<TensorSource> source, at::Device device, const std::string& gpu_layers, Context& context)
      : source_(std::move(source)), model_(load_gpu_model(*source_, device, gpu_layers, context)), tokenizer_(load_tokenizer(*source_)) {}

  const ModelSpec& spec() const override { return model_.spec; }
  const Tokenizer& tokenizer() const override { return *tokenizer_; }
  const QuantConfig& quant() const override { return model_.quant; }
  const TensorSource& source() const override { return *source_; }

  void score(const std::vector<std::vector<int32_t>>& windows, const std::function<void(size_t, const Tensor&)>& visit, Context& context) override {
    size_t longest = 1;
    for (const auto& window : windows) longest = std::max(longest, window.size());
    const Rope rope = make_rope(model_.spec, int64_t(longest), model_.device);
    Prefill prefill(model_);
    for (size_t i = 0; i < windows.size(); ++i) {
      context.check_interrupted();
      visit(i, prefill.all_logits(windows[i], rope));
      context.progress_advance();
    }
  }

  std::vector<Completion> generate(const std::vector<std::vector<int32_t>>& prompts, const GenerateParams& params, Context& context,
                                   const std::function<void(size_t, const Completion&)>& done) override {
    return GpuGenerator(model_, *tokenizer_, prompts, params, context, done).run();
  }

  std::unique_ptr<Session> open_session(int64_t batch, int64_t capacity) override { return std::make_unique<GpuSession>(model_, batch, capacity); }

  uint64_t decode_bytes() const override { return model_.decode_bytes(); }
  uint64_t macs_per_token() const override { return model_.macs_per_token(); }
  uint64_t weight_bytes_resident() const override { return model_.resident_bytes(); }
  std::string weights_note() const override { return model_.note(); }
  uint64_t peak_device_bytes() const override { return peak_device_memory(model_.device); }

 private:
  std::unique_ptr<TensorSource> source_;
  GpuModel model_;
  std::shared_ptr<Tokenizer> tokenizer_;
};

}  // namespace

std::unique_ptr<Runner> make_gpu_runner(std::unique_ptr<TensorSource> source, at::Device device, const std::string& gpu_layers, Context& context) {
  return std::make_unique<GpuRunner>(std::move(source), device, gpu_layers, context);
}

}  // namespace teeny
