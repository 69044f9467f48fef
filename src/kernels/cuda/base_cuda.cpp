#include <cuda_runtime.h>

#include "teeny/core/error.h"
#include "teeny/kernels/launch.cuh"

namespace teeny::cuda {
namespace {

std::string file_name(const char* path) {
  const std::string text(path);
  const auto slash = text.rfind('/');
  return slash == std::string::npos ? text : text.substr(slash + 1);
}

std::string bytes_text(size_t bytes) { return fmt::format("{:.2f} GB", double(bytes) * 1e-9); }

}  // namespace

bool built() { return true; }

void check(int error, const char* call, const char* file, int line) {
  if (error == cudaSuccess) return;
  const auto code = cudaError_t(error);
  cudaGetLastError();  // a later check must not report this one again
  if (code == cudaErrorMemoryAllocation) {
    size_t free = 0, total = 0;
    cudaMemGetInfo(&free, &total);
    throw device_error("cuda", "memory", "the GPU has no room left: {} of {} are free; use a smaller batch, a shorter context or a smaller model", bytes_text(free),
                       bytes_text(total));
  }
  throw device_error("cuda", std::string(call).substr(0, 100), "failed with {} ({}) at {}:{}; see `teeny doctor`", cudaGetErrorName(code), cudaGetErrorString(code),
                     file_name(file), line);
}

void refuse(const char* what) { throw Error(ErrorKind::Bug, "cuda", "arguments", std::string(what) + "; this is a bug in teeny, please report it"); }

int device_count() {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess) return count;
  cudaGetLastError();
  return 0;
}

void set_device(int index) { TEENY_CUDA(cudaSetDevice(index)); }

DeviceFacts device_facts(int index) {
  cudaDeviceProp p{};
  TEENY_CUDA(cudaGetDeviceProperties(&p, index));
  DeviceFacts out;
  out.name = p.name;
  out.major = p.major, out.minor = p.minor, out.sm_count = p.multiProcessorCount;
  out.memory_bytes = p.totalGlobalMem, out.l2_bytes = uint64_t(p.l2CacheSize), out.shared_bytes_per_block = p.sharedMemPerBlockOptin;
  TEENY_CUDA(cudaDriverGetVersion(&out.driver));
  return out;
}

MemoryInfo memory_info() {
  size_t free = 0, total = 0;
  TEENY_CUDA(cudaMemGetInfo(&free, &total));
  return {free, total};
}

bool overlaps_launches() {
  int device = 0, major = 0;
  TEENY_CUDA(cudaGetDevice(&device));
  TEENY_CUDA(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
  return major >= 9;
}

Buffer::Buffer(size_t bytes) : bytes_(bytes) {
  if (bytes == 0) return;
  const auto error = cudaMalloc(&data_, bytes);
  if (error != cudaErrorMemoryAllocation) {
    TEENY_CUDA(error);
    return;
  }
  cudaGetLastError();
  size_t free = 0, total = 0;
  cudaMemGetInfo(&free, &total);
  throw device_error("cuda", "memory", "{} are needed, {} of {} are free on the GPU; use a smaller batch, a shorter context or a smaller model", bytes_text(bytes),
                     bytes_text(free), bytes_text(total));
}
Buffer::~Buffer() {
  if (data_) cudaFree(data_);
}
void Buffer::upload(const void* host, size_t bytes, size_t offset) {
  TEENY_ASSERT(offset + bytes <= bytes_);
  TEENY_CUDA(cudaMemcpy(data<char>() + offset, host, bytes, cudaMemcpyHostToDevice));
}
void Buffer::download(void* host, size_t bytes, size_t offset) const {
  TEENY_ASSERT(offset + bytes <= bytes_);
  TEENY_CUDA(cudaMemcpy(host, data<char>() + offset, bytes, cudaMemcpyDeviceToHost));
}
void Buffer::fill(int byte) {
  if (bytes_) TEENY_CUDA(cudaMemset(data_, byte, bytes_));
}

PinnedBuffer::PinnedBuffer(size_t bytes) : bytes_(bytes) {
  if (bytes) TEENY_CUDA(cudaMallocHost(&data_, bytes));
}
PinnedBuffer::~PinnedBuffer() {
  if (data_) cudaFreeHost(data_);
}

Stream::Stream() { TEENY_CUDA(cudaStreamCreate(&stream_)); }
Stream::~Stream() {
  if (stream_) cudaStreamDestroy(stream_);
}
void Stream::synchronize() const { TEENY_CUDA(cudaStreamSynchronize(stream_)); }

Event::Event() { TEENY_CUDA(cudaEventCreate(&event_)); }
Event::~Event() {
  if (event_) cudaEventDestroy(event_);
}
void Event::record(cudaStream_t stream) { TEENY_CUDA(cudaEventRecord(event_, stream)); }
void Event::synchronize() const { TEENY_CUDA(cudaEventSynchronize(event_)); }
float Event::milliseconds_since(const Event& begin) const {
  float out = 0;
  TEENY_CUDA(cudaEventElapsedTime(&out, begin.event_, event_));
  return out;
}

Graph::~Graph() {
  if (exec_) cudaGraphExecDestroy(exec_);
}
void Graph::begin(const Stream& stream) { TEENY_CUDA(cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeThreadLocal)); }
void Graph::abandon(const Stream& stream) {
  cudaGraph_t graph = nullptr;
  cudaStreamEndCapture(stream.get(), &graph);
  if (graph) cudaGraphDestroy(graph);
  cudaGetLastError();
}
void Graph::end(const Stream& stream) {
  cudaGraph_t graph = nullptr;
  TEENY_CUDA(cudaStreamEndCapture(stream.get(), &graph));
  if (exec_) cudaGraphExecDestroy(exec_);
  exec_ = nullptr;
  const auto error = cudaGraphInstantiate(&exec_, graph, 0);
  cudaGraphDestroy(graph);
  TEENY_CUDA(error);
}
void Graph::launch(cudaStream_t stream) const { TEENY_CUDA(cudaGraphLaunch(exec_, stream)); }

void synchronize() { TEENY_CUDA(cudaDeviceSynchronize()); }

}  // namespace teeny::cuda
