// Where the block loop computes, and how a model's blocks come there: read ahead while the block before is worked on.
#pragma once
#include <future>
#include <optional>

#include "teeny/calib/collect.h"
#include "teeny/core/context.h"
#include "teeny/model/block.h"
#include "teeny/model/loader.h"

namespace teeny {

struct Place {
  at::Device device = at::kCPU;
  at::ScalarType dtype = at::kFloat;  // of the forward pass: f32, but bf16 on a GPU for models of a billion parameters and more
  bool gpu() const { return device.is_cuda(); }
};
// The device that the context names; the CPU where `on_cpu` says that the work has no other form.
Place choose_place(const ModelSpec& spec, const Context& context, bool on_cpu);

// Weights and biases in the place's dtype for a forward pass; those that are in it already are shared.
Block for_forward(const Block& block, const Place& place);

// Windows (1, T, H) of the CPU, in order, as the place computes on them: on a GPU neighbours of one length together.
HiddenStates gather(HiddenStates windows, const Place& place);

// Blocks of a model one after the other. On a GPU weights keep their stored float type until they are worked on, and the
// next block is read by another thread meanwhile.
class BlockReader {
 public:
  BlockReader(const WeightLoader& loader, const ModelSpec& spec, const Place& place) : loader_(loader), spec_(spec), place_(place) {}
  ~BlockReader();
  Block read(int64_t layer);

 private:
  void read_ahead(int64_t layer);

  const WeightLoader& loader_;
  const ModelSpec& spec_;
  Place place_;
  int64_t ahead_ = -1;  // what next_ holds
  std::future<Block> next_;
};

}  // namespace teeny
