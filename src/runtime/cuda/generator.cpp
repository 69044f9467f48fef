#include "runtime/cuda/generator.h"

#include <algorithm>

#include "runtime/sampling.h"
#include "teeny/core/error.h"

namespace teeny {
namespace {

constexpr int64_t kPrefillTokens = 8192, kDefaultSlots = 192;

}  // namespace

GpuGenerator::GpuGenerator(const GpuModel& model, const Tokenizer& tokenizer, const std::vector<std::vector<int32_t>>& prompts, const GenerateParams& params, Context& context,
                           const Done& done)
    : model_(model), tokenizer_(tokenizer), prompts_(prompts), params_(params), context_(context), done_(done), prefill_(model), results_(prompts.size()) {
  size_t longest = 1;
  for (const auto& prompt : prompts) longest = std::max(longest, prompt.size());
  capacity_ = (int64_t(longest) + params.max_new_tokens + 32) / 32 * 32;
  const int64_t wanted = params.batch > 0 ? params.batch : kDefaultSlots;
  slots_ = std::clamp<int64_t>(std::min<int64_t>(wanted, int64_t(prompts.size())), 1, cuda::kMaxTokens);
  const int64_t fitting = slots_that_fit();
  if (slots_ > fitting) {
    if (params.batch > 0) context.warn("batch-shrunk", fmt::format("the key and value cache of {} sequences does not fit into the GPU's memory; {} are run at a time", slots_, fitting));
    slots_ = fitting;
  }
  rope_ = make_rope(model.spec, capacity_, model.device);
}

// Sequences whose cache fits into what is free now, with room for prefill and logits.
int64_t GpuGenerator::slots_that_fit() const {
  const auto memory = cuda::memory_info();
  const uint64_t sequence = uint64_t(capacity_ * model_.spec.layers * model_.spec.kv_heads * model_.spec.head_dim) * 4 + uint64_t(model_.spec.vocab) * 4 * 3;
  const uint64_t reserve = (uint64_t(1) << 30) + decoded_bytes(model_.spec);
  const uint64_t room = memory.free > reserve ? memory.free - reserve : 0;
  if (room / sequence < 2)  // one sequence, and the slot that idle rows write to
    throw device_error("generate", "memory", "{} are needed for a sequence of {} tokens, {} of {} are free on the GPU; use shorter prompts or --max-new-tokens", human_bytes(reserve + 2 * sequence),
                       capacity_, human_bytes(memory.free), human_bytes(memory.total));
  return int64_t(room / sequence) - 1;
}

std::vector<Completion> GpuGenerator::run() {
  context_.progress_start("generate", prompts_.size());
  if (!prompts_.empty()) {
    cache_ = make_gpu_cache(model_, slots_ + 1, capacity_);  // the last slot: of rows that only fill up a bucket
    step_ = std::make_unique<DecodeStep>(model_, cache_, rope_, DecodeStep::bucket(int(slots_)));
    for (int64_t s = slots_; s-- > 0;) free_.push_back(s);
    for (fill(); !active_.empty(); fill()) {
      context_.check_interrupted();
      decode();
    }
  }
  context_.progress_finish();
  return std::move(results_);
}

void GpuGenerator::fill() {
  while (!free_.empty() && next_ < prompts_.size()) {
    std::vector<Sequence> fresh;
    std::vector<PrefillPiece> pieces;
    for (int64_t tokens = 0; !free_.empty() && next_ < prompts_.size() && (pieces.empty() || tokens + int64_t(prompts_[next_].size()) <= kPrefillTokens); ++next_) {
      const auto& prompt = prompts_[next_];
      if (prompt.empty()) throw input_error("generate", fmt::format("prompt {}", next_), "is empty; give at least one token");
      Sequence sequence;
      sequence.prompt = next_;
      if (params_.max_new_tokens <= 0) {
        finish(sequence, "length");
        continue;
      }
      sequence.slot = free_.back(), free_.pop_back();
      sequence.position = int64_t(prompt.size());
      pieces.push_back({prompt, sequence.slot, 0});
      tokens += int64_t(prompt.size());
      fresh.push_back(std::move(sequence));
    }
    if (pieces.empty()) continue;
    const Tensor logits = prefill_.last_logits(pieces, cache_, rope_);
    std::vector<Sequence*> rows;
    for (auto& sequence : fresh) rows.push_back(&sequence);
    const auto tokens = choose(logits, rows);
    for (size_t i = 0; i < fresh.size(); ++i)
      if (accept(fresh[i], tokens[i])) active_.push_back(std::move(fresh[i]));
      else free_.push_back(fresh[i].slot);
    changed_ = true;
  }
}

void GpuGenerator::decode() {
  const int m = int(active_.size()), rows = DecodeStep::bucket(m);
  if (changed_ || params_.temperature > 0) {
    const auto count = size_t(rows);
    std::vector<int32_t> tokens(count, 0), positions(count, 0), slots(count, int32_t(slots_));
    for (size_t i = 0; i < active_.size(); ++i) tokens[i] = active_[i].token, positions[i] = int32_t(active_[i].position), slots[i] = int32_t(active_[i].slot);
    const auto send = [&](const Tensor& to, const std::vector<int32_t>& from) { to.narrow(0, 0, rows).copy_(at::tensor(from, at::kInt)); };
    send(step_->token(), tokens), send(step_->position(), positions), send(step_->slot(), slots);
    changed_ = false;
  } else if (rows > m) {
    step_->position().narrow(0, m, rows - m).zero_();  // idle rows stay where they are
  }
  step_->run(rows);
  std::vector<Sequence*> all;
  for (auto& sequence : active_) all.push_back(&sequence);
  std::vector<int32_t> tokens;
  if (params_.temperature > 0) {
    tokens = choose(step_->logits().narrow(0, 0, m), all);
  } else {
    const Tensor host = step_->token().narrow(0, 0, m).cpu();
    tokens.assign(host.const_data_ptr<int32_t>(), host.const_data_ptr<int32_t>() + m);
  }
  std::vector<Sequence> kept;
  for (size_t i = 0; i < active_.size(); ++i) {
    auto& sequence = active_[i];
    ++sequence.position;
    if (accept(sequence, tokens[i])) {
      kept.push_back(std::move(sequence));
    } else {
      free_.push_back(sequence.slot);
      changed_ = true;
    }
  }
  active_ = std::move(kept);
}

std::vector<int32_t> GpuGenerator::choose(const Tensor& logits, const std::vector<Sequence*>& rows) const {
  Tensor chosen;
  if (params_.temperature > 0) {
    std::vector<double> u;
    for (const auto* s : rows) u.push_back(draw(params_.seed, params_.keys.empty() ? uint64_t(s->prompt) : params_.keys[s->prompt], uint64_t(s->step)));
    chosen = sample_rows(logits, params_.temperature, params_.top_p, u);
  } else {
    chosen = logits.argmax(1);
  }
  const Tensor host = chosen.to(at::kInt).cpu();
  return {host.const_data_ptr<int32_t>(), host.const_data_ptr<int32_t>() + rows.size()};
}

bool GpuGenerator::accept(Sequence& s, int32_t token) {
  const char* why = nullptr;
  if (std::find(model_.spec.eos.begin(), model_.spec.eos.end(), int64_t(token)) != model_.spec.eos.end()) {
    why = "eos";
  } else {
    s.completion.ids.push_back(token);
    if (!params_.stop.empty()) {
      const size_t before = s.bytes.size();
      s.bytes += tokenizer_.decode_bytes(token);
      for (const auto& stop : params_.stop)
        if (!stop.empty() && s.bytes.find(stop, before > stop.size() ? before - stop.size() : 0) != std::string::npos) why = "stop";
    }
    if (!why && ++s.step >= params_.max_new_tokens) why = "length";
  }
  s.token = token;
  if (!why) return true;
  finish(s, why);
  return false;
}

void GpuGenerator::finish(Sequence& s, const char* why) {
  s.completion.finish = why;
  s.completion.text = tokenizer_.decode_continuation(s.completion.ids, true);
  results_[s.prompt] = std::move(s.completion);
  context_.progress_advance();
  if (done_) done_(s.prompt, results_[s.prompt]);
}

}  // namespace teeny
