// The same functions in a build without nvcc: there is no device, and whoever asks for one is told why.
#ifndef TEENY_HAVE_CUDA
#include "teeny/core/error.h"
#include "teeny/kernels/cuda.h"

namespace teeny::cuda {
namespace {

[[noreturn]] void absent() { throw device_error("cuda", "kernels", "are not in this build; rebuild where nvcc is found (CUDA Toolkit 12.4 or newer), or use --device cpu"); }

}  // namespace

bool built() { return false; }
void check(int, const char*, const char*, int) { absent(); }
void refuse(const char*) { absent(); }
int device_count() { return 0; }
void set_device(int) { absent(); }
DeviceFacts device_facts(int) { absent(); }
MemoryInfo memory_info() { absent(); }
Buffer::Buffer(size_t) { absent(); }
Buffer::~Buffer() = default;
void Buffer::upload(const void*, size_t, size_t) { absent(); }
void Buffer::download(void*, size_t, size_t) const { absent(); }
void Buffer::fill(int) { absent(); }
PinnedBuffer::PinnedBuffer(size_t) { absent(); }
PinnedBuffer::~PinnedBuffer() = default;
Stream::Stream() { absent(); }
Stream::~Stream() = default;
void Stream::synchronize() const { absent(); }
Event::Event() { absent(); }
Event::~Event() = default;
void Event::record(cudaStream_t) { absent(); }
void Event::synchronize() const { absent(); }
float Event::milliseconds_since(const Event&) const { absent(); }
Graph::~Graph() = default;
void Graph::begin(const Stream&) { absent(); }
void Graph::abandon(const Stream&) {}
void Graph::end(const Stream&) { absent(); }
void Graph::launch(cudaStream_t) const { absent(); }
void synchronize() { absent(); }

}  // namespace teeny::cuda
#endif
