// The runner of NVIDIA GPUs: weights packed, decoding by our own kernels.
#pragma once
#include "teeny/runtime/runner.h"

namespace teeny {

std::unique_ptr<Runner> make_gpu_runner(std::unique_ptr<TensorSource> source, at::Device device, const std::string& gpu_layers, Context& context);

}  // namespace teeny
