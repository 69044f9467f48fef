#include "pipeline/place.h"

#include "teeny/runtime/device.h"

namespace teeny {
namespace {

constexpr int64_t kTokensTogether = 8192;  // of windows in one forward pass on a GPU
constexpr int64_t kLarge = 1'000'000'000;  // parameters from which on a GPU computes in bf16

template <class F>
void for_each_tensor(Block& block, F&& body) {
  for (Tensor* t : {&block.attn_norm, &block.mlp_norm, &block.q_norm, &block.k_norm}) body(*t);
  for (auto& linear : block.linears)
    for (Tensor* t : {&linear.weight, &linear.bias, &linear.input_scale, &linear.input_zero}) body(*t);
}

}  // namespace

Place choose_place(const ModelSpec& spec, const Context& context, bool on_cpu) {
  if (on_cpu || !context.device.starts_with("cuda")) return {};
  Place place;
  kernel_device(context);
  place.device = open_device(context);
  if (spec.parameters() >= kLarge) place.dtype = at::kBFloat16;
  return place;
}

Block for_forward(const Block& block, const Place& place) {
  Block out = block;
  for (auto& linear : out.linears) {
    linear.weight = linear.weight.to(place.dtype);
    if (linear.bias.defined()) linear.bias = linear.bias.to(place.dtype);
  }
  return out;
}

HiddenStates gather(HiddenStates windows, const Place& place) {
  if (!place.gpu()) {
    for (auto& window : windows) window = window.to(place.dtype);
    return windows;
  }
  HiddenStates out;
  for (size_t begin = 0; begin < windows.size();) {
    const int64_t T = windows[begin].size(1);
    size_t end = begin + 1;
    while (end < windows.size() && windows[end].size(1) == T && int64_t(end + 1 - begin) * T <= kTokensTogether) ++end;
    std::vector<Tensor> group;
    for (; begin < end; ++begin) group.push_back(std::exchange(windows[begin], Tensor()).to(place.device).to(place.dtype));
    out.push_back(at::cat(group));
  }
  return out;
}

void BlockReader::read_ahead(int64_t layer) {
  ahead_ = -1;
  if (layer >= spec_.layers) return;
  ahead_ = layer;
  next_ = std::async(std::launch::async, [this, layer] {
    Block block = load_block(loader_, spec_, layer, at::TensorOptions().device(at::kCPU));  // weights in their stored type
    for_each_tensor(block, [](Tensor& t) {
      if (t.defined()) t = t.pin_memory();
    });
    return block;
  });
}

BlockReader::~BlockReader() {
  if (next_.valid()) next_.wait();
}

Block BlockReader::read(int64_t layer) {
  if (!place_.gpu()) return load_block(loader_, spec_, layer, at::TensorOptions().dtype(at::kFloat));
  if (ahead_ != layer) {
    if (next_.valid()) next_.wait();
    read_ahead(layer);
  }
  Block block = next_.get();
  for_each_tensor(block, [&](Tensor& t) {
    if (t.defined()) t = t.to(place_.device, /*non_blocking=*/true);
  });
  read_ahead(layer + 1);
  return block;
}

}  // namespace teeny
