// What every CUDA kernel of teeny stands on: checked calls, owned memory, streams, events, graphs. Without torch, and
// usable (to the point of an Error of kind Device) in a build without nvcc, so that no caller needs an #ifdef.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

struct CUstream_st;
struct CUevent_st;
struct CUgraphExec_st;
using cudaStream_t = CUstream_st*;  // the same types as in cuda_runtime.h

namespace teeny::cuda {

// Whether this build has kernels. Whether there is a GPU is another question: device_count().
bool built();

// Every CUDA call is wrapped: TEENY_CUDA(cudaMemcpyAsync(...)). On failure the sticky error is cleared and an Error of
// kind Device is thrown; out of memory says what was free. After a launch: TEENY_CUDA(cudaGetLastError()).
#define TEENY_CUDA(call) ::teeny::cuda::check(int(call), #call, __FILE__, __LINE__)
void check(int error, const char* call, const char* file, int line);

[[noreturn]] void refuse(const char* what);  // a programmer's error, for .cu files (nvcc cannot read fmt's headers): kind Bug

int device_count();        // 0 without a driver, a GPU or kernels; never throws
void set_device(int index);

struct DeviceFacts {
  std::string name;
  int major = 0, minor = 0, sm_count = 0, driver = 0;  // driver: the CUDA version it supports, 13000
  uint64_t memory_bytes = 0, l2_bytes = 0, shared_bytes_per_block = 0;
};
DeviceFacts device_facts(int index);

struct MemoryInfo {
  uint64_t free = 0, total = 0;
};
MemoryInfo memory_info();  // of the current device

// Bytes on the current device, 256-byte aligned. Throws Device with needed and free when they are not there.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(size_t bytes);
  ~Buffer();
  Buffer(Buffer&& other) noexcept : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  template <class T = std::byte>
  T* data() const { return static_cast<T*>(data_); }
  size_t bytes() const { return bytes_; }
  void upload(const void* host, size_t bytes, size_t offset = 0);          // waits
  void download(void* host, size_t bytes, size_t offset = 0) const;        // waits
  void fill(int byte);

 private:
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

// Page-locked host memory: what a device reads and writes while the host goes on.
class PinnedBuffer {
 public:
  PinnedBuffer() = default;
  explicit PinnedBuffer(size_t bytes);
  ~PinnedBuffer();
  PinnedBuffer(PinnedBuffer&& other) noexcept : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  PinnedBuffer& operator=(PinnedBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  template <class T = std::byte>
  T* data() const { return static_cast<T*>(data_); }
  size_t bytes() const { return bytes_; }

 private:
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

// A stream that orders itself with the legacy default stream, which libtorch uses.
class Stream {
 public:
  Stream();
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  cudaStream_t get() const { return stream_; }
  void synchronize() const;

 private:
  cudaStream_t stream_ = nullptr;
};

class Event {
 public:
  Event();
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void record(cudaStream_t stream);
  void synchronize() const;
  float milliseconds_since(const Event& begin) const;  // both recorded and done

 private:
  CUevent_st* event_ = nullptr;
};

// What was launched between begin() and end() on one stream, to be launched again as a whole.
class Graph {
 public:
  Graph() = default;
  ~Graph();
  Graph(Graph&& other) noexcept : exec_(std::exchange(other.exec_, nullptr)) {}
  Graph& operator=(Graph&& other) noexcept {
    std::swap(exec_, other.exec_);
    return *this;
  }
  // capture(stream) launches kernels on `stream` and nothing else. When it throws, the capture is ended first.
  template <class F>
  void capture(const Stream& stream, F&& body) {
    begin(stream);
    try {
      body(stream.get());
    } catch (...) {
      abandon(stream);
      throw;
    }
    end(stream);
  }
  bool ready() const { return exec_ != nullptr; }
  void launch(cudaStream_t stream) const;

 private:
  static void begin(const Stream& stream);
  static void abandon(const Stream& stream);
  void end(const Stream& stream);
  CUgraphExec_st* exec_ = nullptr;
};

void synchronize();  // the whole current device

}  // namespace teeny::cuda
