// Parallel loops for the torch-free half (the engine uses at::parallel_for).
#pragma once
#include <cstddef>
#include <functional>

namespace teeny {

// Calls body(i) for i in [0, n) on up to `threads` threads, each index once. The first exception is rethrown.
void parallel_for(size_t n, int threads, const std::function<void(size_t)>& body);

}  // namespace teeny
