// What the memory of the current GPU gives to a kernel that only reads.
#pragma once
#include <cstddef>
#include <cstdint>

namespace teeny::cuda {

double read_bandwidth_gb_s(size_t bytes);  // the best of a few passes over `bytes` of random data
void fill_with_random_bytes(void* device, size_t bytes, uint32_t seed);

}  // namespace teeny::cuda
