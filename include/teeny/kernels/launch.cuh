// Launching kernels from .cu files, with programmatic dependent launch: a kernel may start before the one ahead of it on
// the stream has ended, to read what does not depend on it (weights), and waits at dependency_wait() for the rest.
#pragma once
#include <cuda_runtime.h>

#include "teeny/kernels/cuda.h"

namespace teeny::cuda {

struct LaunchShape {
  dim3 grid, block;
  size_t shared_bytes = 0;
  cudaStream_t stream = nullptr;
  bool overlap = false;  // the kernel calls dependency_wait() before it touches what earlier kernels wrote
  int cluster = 1;       // neighbouring blocks along x that can read each other's shared memory (9.0 and above)
};

// True where the current device can overlap launches so (compute capability 9.0 and above).
bool overlaps_launches();

template <class... P, class... A>
void launch(void (*kernel)(P...), const LaunchShape& shape, A&&... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = shape.stream;
  cudaLaunchAttribute attributes[2]{};
  config.attrs = attributes;
  if (shape.overlap && overlaps_launches()) {
    attributes[config.numAttrs].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attributes[config.numAttrs++].val.programmaticStreamSerializationAllowed = 1;
  }
  if (shape.cluster > 1) {
    attributes[config.numAttrs].id = cudaLaunchAttributeClusterDimension;
    attributes[config.numAttrs].val.clusterDim.x = unsigned(shape.cluster);
    attributes[config.numAttrs].val.clusterDim.y = attributes[config.numAttrs].val.clusterDim.z = 1;
    ++config.numAttrs;
  }
  TEENY_CUDA(cudaLaunchKernelEx(&config, kernel, P(arguments)...));
}

// Tokens, a row of a grid each, as many as a grid takes: launch_rows(first, count). `first` is a multiple of 8.
template <class F>
void in_grids(int64_t tokens, F&& launch_rows) {
  constexpr int64_t kMost = 32768;
  for (int64_t first = 0; first < tokens; first += kMost) launch_rows(first, tokens - first < kMost ? tokens - first : kMost);
}

// Once per kernel that takes more than 48 KB of dynamic shared memory.
template <class... P>
void allow_shared(void (*kernel)(P...), size_t bytes) {
  TEENY_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(bytes)));
}

// Clusters of `blocks` blocks that the current device can hold at a time.
template <class... P>
int resident_clusters(void (*kernel)(P...), int threads, int shared_bytes, int blocks) {
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(unsigned(blocks));
  config.blockDim = dim3(unsigned(threads));
  config.dynamicSmemBytes = size_t(shared_bytes);
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim.x = unsigned(blocks), attribute.val.clusterDim.y = attribute.val.clusterDim.z = 1;
  config.attrs = &attribute, config.numAttrs = 1;
  int count = 0;
  TEENY_CUDA(cudaOccupancyMaxActiveClusters(&count, kernel, &config));
  return count > 0 ? count : 1;
}

#ifdef __CUDACC__
// Everything that the kernels ahead on the stream wrote is visible afterwards.
__device__ __forceinline__ void dependency_wait() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
// The next kernel on the stream may start as soon as every block has called this or ended.
__device__ __forceinline__ void dependency_release() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}
#endif

}  // namespace teeny::cuda
