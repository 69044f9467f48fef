#include "runtime/generator.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/sampling.h"
#include "teeny/core/error.h"
#include "teeny/kernels/fixed_order.h"

namespace teeny {
namespace {

constexpr uint64_t kSmallModelBytes = 512ull << 20;  // below this a core's own copy of the work beats sharing each matmul

}  // namespace

Generator::Generator(const LoadedModel& model, const Tokenizer& tokenizer, const std::vector<std::vector<int32_t>>& prompts, const GenerateParams& params,
                     Context& context, const Done& done)
    : model_(model), tokenizer_(tokenizer), prompts_(prompts), params_(params), context_(context), done_(done), results_(prompts.size()) {
  size_t longest = 1;
  for (const auto& prompt : prompts) longest = std::max(longest, prompt.size());
  capacity_ = (int64_t(longest) + params.max_new_tokens + 31) / 32 * 32;
  rope_ = make_rope(model.spec, capacity_, model.device);
}

int64_t Generator::slots_per_lane() const {
  if (params_.batch > 0) return params_.batch;
  return model_.device.is_cuda() ? 64 : 8;
}

std::vector<Completion> Generator::run() {
  const bool parallel = !model_.device.is_cuda() && (params_.one_thread_a_lane || model_.decode_bytes() < kSmallModelBytes);
  const int64_t slots = std::min<int64_t>(slots_per_lane(), int64_t(prompts_.size()));
  const int64_t lanes = parallel ? std::clamp<int64_t>(int64_t(prompts_.size()) / std::max<int64_t>(1, slots), 1, at::get_num_threads()) : 1;
  const auto work = [&](int64_t) {
    Lane lane;
    lane.slots.resize(size_t(slots));
    lane.cache = make_cache(model_.spec, slots, capacity_, model_.options());
    run_lane(lane);
  };
  context_.progress_start("generate", prompts_.size());
  if (parallel && (lanes > 1 || params_.one_thread_a_lane))
    for_each_single_threaded(lanes, work);
  else if (!prompts_.empty())
    work(0);
  context_.progress_finish();
  return std::move(results_);
}

void Generator::run_lane(Lane& lane) {
  for (size_t s = 0; s < lane.slots.size(); ++s) fill(lane, s);
  const auto busy = [&] { return std::any_of(lane.slots.begin(), lane.slots.end(), [](const Slot& s) { return s.prompt >= 0; }); };
  while (busy()) {
    context_.check_interrupted();
    const Tensor logits = step(lane);
    const Tensor greedy = params_.temperature > 0 ? Tensor() : logits.argmax(1).cpu();
    const Tensor host = params_.temperature > 0 ? logits.cpu() : Tensor();
    for (size_t s = 0; s < lane.slots.size(); ++s) {
      auto& slot = lane.slots[s];
      if (slot.prompt < 0) continue;
      ++slot.position;
      accept(lane, s, greedy.defined() ? int32_t(greedy.const_data_ptr<int64_t>()[s]) : choose(host[int64_t(s)], slot));
    }
  }
}

bool Generator::fill(Lane& lane, size_t s) {
  for (size_t index; (index = next_++) < prompts_.size();) {
    auto& slot = lane.slots[s];
    slot = {};
    slot.prompt = int64_t(index);
    if (prompts_[index].empty()) throw input_error("generate", fmt::format("prompt {}", index), "is empty; give at least one token");
    if (params_.max_new_tokens <= 0) {
      finish(slot, "length");
      continue;
    }
    const Tensor logits = prefill(lane, s, prompts_[index]);
    slot.position = int64_t(prompts_[index].size());
    accept(lane, s, params_.temperature > 0 ? choose(logits.cpu(), slot) : int32_t(logits.argmax().item<int64_t>()));
    return lane.slots[s].prompt >= 0;
  }
  return false;
}

int32_t Generator::choose(const Tensor& logits, const Slot& slot) const {
  return sample(logits, params_.temperature, params_.top_p, draw(params_.seed, params_.keys.empty() ? uint64_t(slot.prompt) : params_.keys[size_t(slot.prompt)], uint64_t(slot.step)));
}

void Generator::accept(Lane& lane, size_t s, int32_t token) {
  auto& slot = lane.slots[s];
  const char* why = nullptr;
  const auto& ends = params_.ends.empty() ? model_.spec.eos : params_.ends;
  if (std::find(ends.begin(), ends.end(), int64_t(token)) != ends.end()) {
    why = "eos";
  } else {
    slot.completion.ids.push_back(token);
    const size_t before = slot.bytes.size();
    slot.bytes += tokenizer_.decode_bytes(token);
    for (const auto& stop : params_.stop)
      if (!stop.empty() && slot.bytes.find(stop, before > stop.size() ? before - stop.size() : 0) != std::string::npos) why = "stop";
    if (!why && ++slot.step >= params_.max_new_tokens) why = "length";
  }
  slot.token = token;
  if (!why) return;
  finish(slot, why);
  fill(lane, s);
}

void Generator::finish(Slot& slot, const char* why) {
  slot.completion.finish = why;
  slot.completion.text = tokenizer_.decode_continuation(slot.completion.ids, true);
  const auto index = size_t(slot.prompt);
  slot.prompt = -1;
  slot.position = 0;
  slot.token = 0;
  std::lock_guard lock(mutex_);
  results_[index] = std::move(slot.completion);
  context_.progress_advance();
  if (done_) done_(index, results_[index]);
}

Tensor Generator::prefill(Lane& lane, size_t s, const std::vector<int32_t>& prompt) {
  const int64_t T = int64_t(prompt.size());
  const Tensor ids = at::tensor(prompt, at::kInt).to(at::kLong).unsqueeze(0).to(model_.device);
  Attend attend;
  attend.positions = at::arange(T, at::TensorOptions().dtype(at::kLong).device(model_.device)).unsqueeze(0);
  attend.cache = &lane.cache;
  attend.rows = attend.positions.view({-1}) + int64_t(s) * capacity_;
  attend.first_slot = int64_t(s);
  attend.keys = T;
  Tensor hidden = model_.embed(ids);
  for (int64_t layer = 0; layer < model_.spec.layers; ++layer)
    hidden = block_forward(model_.spec, model_.blocks[size_t(layer)], layer, hidden, rope_, attend);
  return model_.logits(hidden.select(1, T - 1))[0];
}

Tensor Generator::step(Lane& lane) {
  const int64_t S = int64_t(lane.slots.size());
  std::vector<int64_t> tokens, positions, rows;
  int64_t keys = 1;
  for (int64_t s = 0; s < S; ++s) {
    const auto& slot = lane.slots[size_t(s)];
    tokens.push_back(slot.token);
    positions.push_back(slot.position);
    rows.push_back(s * capacity_ + slot.position);
    keys = std::max(keys, slot.position + 1);
  }
  keys = std::min(capacity_, (keys + 31) / 32 * 32);
  const auto to_device = [&](const std::vector<int64_t>& v) { return at::tensor(v, at::kLong).to(model_.device); };
  Attend attend;
  attend.positions = to_device(positions).view({S, 1});
  attend.cache = &lane.cache;
  attend.rows = to_device(rows);
  attend.keys = keys;
  const Tensor visible = at::arange(keys, attend.positions.options()).view({1, keys}).le(attend.positions);
  attend.mask = at::zeros({S, keys}, model_.options()).masked_fill_(visible.logical_not(), -std::numeric_limits<double>::infinity()).view({S, 1, 1, keys});
  Tensor hidden = model_.embed(to_device(tokens).view({S, 1}));
  for (int64_t layer = 0; layer < model_.spec.layers; ++layer)
    hidden = block_forward(model_.spec, model_.blocks[size_t(layer)], layer, hidden, rope_, attend);
  return model_.logits(hidden.select(1, 0));
}

}  // namespace teeny
