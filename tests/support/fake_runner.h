// A model whose every number is chosen by the test: logits by a function, completions from a table, time by a fake clock.
#pragma once
#include <functional>
#include <map>
#include <mutex>

#include "teeny/runtime/runner.h"

namespace teeny::testing {

// One token a byte.
class ByteTokenizer : public Tokenizer {
 public:
  std::vector<int32_t> encode(std::string_view text, bool) const override {
    std::vector<int32_t> out;
    for (const unsigned char c : text) out.push_back(c);
    return out;
  }
  std::string decode(std::span<const int32_t> ids, bool) const override {
    std::string out;
    for (const int32_t id : ids) out += char(id);
    return out;
  }
  std::string decode_bytes(int32_t id) const override { return std::string(1, char(id)); }
  int64_t size() const override { return 256; }
  int32_t id_of(std::string_view) const override { return -1; }
  const BpeData& data() const override { return data_; }

 private:
  BpeData data_;
};

class FakeSource : public TensorSource {
 public:
  explicit FakeSource(const std::string& path) {
    path_ = path;
    config_ = parse_json(R"({"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "hidden_size": 8, "num_hidden_layers": 1,
      "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 16, "vocab_size": 256, "max_position_embeddings": 4096,
      "rms_norm_eps": 1e-6, "tie_word_embeddings": true, "eos_token_id": 0})", "test", path);
    add("model.embed_tokens.weight", {256, 8});
    add("model.layers.0.mlp.up_proj.weight", {16, 8});
  }

 private:
  void add(const std::string& name, std::vector<int64_t> shape) {
    TensorInfo info;
    info.name = name;
    info.dtype = DType::F16;
    info.bytes = uint64_t(shape[0] * shape[1] * 2);
    info.shape = std::move(shape);
    info.offset = std::hash<std::string>{}(path_) % 1000000;  // so that two fakes have two fingerprints
    index_[name] = tensors_.size();
    tensors_.push_back(info);
  }
};

struct FakeTime {
  double now = 0;
};

// Prefill takes prefill_s a token, decode step_s a step plus depth_s for each token in the cache.
struct FakeSpeed {
  double prefill_s = 0.001, step_s = 0.01, depth_s = 0;
};

class FakeSession : public Session {
 public:
  FakeSession(FakeTime& time, FakeSpeed speed, int64_t batch, int64_t capacity) : time_(time), speed_(speed), batch_(batch), capacity_(capacity) {}
  void prefill(const Tensor& tokens) override {
    check(tokens.dim() == 2 && tokens.size(0) == batch_, "tokens are not (B, T)");
    pending_ += speed_.prefill_s * double(tokens.size(1));
    grow(tokens.size(1));
  }
  void decode(int64_t steps) override {
    check(length_ > 0, "decode without a token");
    for (int64_t i = 0; i < steps; ++i) {
      pending_ += speed_.step_s + speed_.depth_s * double(length_);
      grow(1);
    }
  }
  int64_t length() const override { return length_; }
  void reset(int64_t length) override {
    check(length <= length_, "reset forwards");
    length_ = length;
  }
  void synchronize() override {  // work is asynchronous: a reading of the clock without this sees nothing of it
    time_.now += pending_;
    pending_ = 0;
  }

 private:
  static void check(bool good, const char* what) {
    if (!good) throw std::logic_error(what);
  }
  void grow(int64_t n) {
    length_ += n;
    check(length_ <= capacity_, "beyond the capacity");
  }
  FakeTime& time_;
  FakeSpeed speed_;
  int64_t batch_, capacity_, length_ = 0;
  double pending_ = 0;
};

class FakeRunner : public Runner {
 public:
  explicit FakeRunner(std::unique_ptr<TensorSource> source) : source_(std::move(source)), spec_(read_spec(*source_)), quant_(read_quant_config(*source_)) {}

  std::function<Tensor(const std::vector<int32_t>& window)> logits;  // (T, V) f32
  std::map<std::string, std::string> answers;                        // prompt -> completion; absent: ""
  FakeTime* time = nullptr;
  FakeSpeed speed;
  uint64_t bytes_per_step = 1000;
  int generated = 0;
  int* total = nullptr;  // counts over several runners
  int stop_after = -1;   // throws after so many completions, as an interruption does

  const ModelSpec& spec() const override { return spec_; }
  const Tokenizer& tokenizer() const override { return tokenizer_; }
  const QuantConfig& quant() const override { return quant_; }
  const TensorSource& source() const override { return *source_; }
  void score(const std::vector<std::vector<int32_t>>& windows, const std::function<void(size_t, const Tensor&)>& visit, Context&) override {
    for (size_t i = windows.size(); i-- > 0;) {  // any order is allowed
      Tensor out = logits(windows[i]);
      visit(i, out);
      out.fill_(std::numeric_limits<float>::quiet_NaN());  // the buffer belongs to the runner: nobody may keep it
    }
  }
  std::vector<Completion> generate(const std::vector<std::vector<int32_t>>& prompts, const GenerateParams& params, Context&,
                                   const std::function<void(size_t, const Completion&)>& done) override {
    std::vector<Completion> out(prompts.size());
    params_ = params;
    for (size_t i = prompts.size(); i-- > 0;) {
      const auto found = answers.find(tokenizer_.decode(prompts[i], true));
      out[i] = {{}, found == answers.end() ? "" : found->second, "eos"};
      ++generated;
      if (total) ++*total;
      if (done) done(i, out[i]);
      if (stop_after > 0 && --stop_after == 0) throw std::runtime_error("interrupted");
    }
    return out;
  }
  std::unique_ptr<Session> open_session(int64_t batch, int64_t capacity) override { return std::make_unique<FakeSession>(*time, speed, batch, capacity); }
  uint64_t decode_bytes() const override { return bytes_per_step; }
  uint64_t macs_per_token() const override { return 500; }
  uint64_t weight_bytes_resident() const override { return 2000; }
  std::string weights_note() const override { return "fake"; }
  uint64_t peak_device_bytes() const override { return 0; }
  const GenerateParams& last_params() const { return params_; }

 private:
  std::unique_ptr<TensorSource> source_;
  ModelSpec spec_;
  QuantConfig quant_;
  ByteTokenizer tokenizer_;
  GenerateParams params_;
};

}  // namespace teeny::testing
