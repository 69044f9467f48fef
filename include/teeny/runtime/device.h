// Where tensors live. libtorch's CUDA library is opened only when a CUDA device is asked for.
#pragma once
#include <ATen/ATen.h>

#include <string>

#include "teeny/core/context.h"
#include "teeny/core/json.h"

namespace teeny {

// "cpu", "cuda", "cuda:1". Sets the thread count of libtorch. Throws Device with what is missing.
at::Device open_device(const Context& context);
// The GPU's number for work that needs our own kernels and no libtorch; -1 on the CPU. Throws Device with what is missing.
int kernel_device(const Context& context);
Json list_devices();                            // [{name, memory_bytes, sm_count ...}]; empty without a usable GPU
uint64_t available_host_bytes();                // MemAvailable
uint64_t peak_device_memory(at::Device device); // most that libtorch has held there at once; 0 on the CPU or when it never was asked for any

}  // namespace teeny
