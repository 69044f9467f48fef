// The same functions in a build without nvcc: there is no device, and whoever asks for one is told why.
#include "teeny/core/error.h"
#include "teeny/kernels/cuda.h"
#include "teeny/kernels/decode_step.h"
#include "teeny/kernels/stream_rate.h"

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

void pack_weight(const PackedLayout&, const CodeSource&, uint8_t*, int64_t, int64_t, cudaStream_t) { absent(); }
void packed_linear(const PackedView&, const LinearCall&, cudaStream_t) { absent(); }
void packed_linear_large(const PackedView&, const LinearCall&, cudaStream_t) { absent(); }
bool norms_between(int) { return false; }
bool multiplies_large(const PackedLayout&) { return false; }
void to_panels(const void*, int64_t, int, int64_t, const Activations&, cudaStream_t) { absent(); }
void unpack_weight(const PackedView&, int64_t, int64_t, int64_t, int64_t, void*, int64_t, cudaStream_t) { absent(); }
void rms_norm(const float*, const float*, float, int64_t, int64_t, const Activations&, cudaStream_t, float*) { absent(); }
void embed(const PackedView*, const void*, const int32_t*, int64_t, int64_t, float*, cudaStream_t) { absent(); }
void round_to_int8(const Activations&, const Activations&, int64_t, int64_t, const float*, const float*, cudaStream_t) { absent(); }
void tokens_to_int8(const void*, int64_t, int64_t, int64_t, const float*, int8_t*, float*, cudaStream_t) { absent(); }
bool unpacks_to_int8(const PackedLayout&) { return false; }
void unpack_int8(const PackedView&, int64_t, int64_t, int64_t, int8_t*, cudaStream_t) { absent(); }
void finish_int8(const int32_t*, int64_t, int64_t, const float*, const float*, const float*, bool, bool, void*, int64_t, cudaStream_t) { absent(); }
void silu_multiply(const void*, bool, int64_t, int64_t, int64_t, const Activations&, cudaStream_t) { absent(); }
bool attention_supports(int, int, int) { return false; }
size_t attend_scratch_bytes(int, int, int, int) { absent(); }
void attend(const HeadShape&, const float*, int64_t, const int32_t*, const int32_t*, int, const Cache&, int, void*, const Activations&, cudaStream_t) { absent(); }
void rope_and_cache(const HeadShape&, const void*, int64_t, const float*, const int32_t*, const int32_t*, int64_t, const Cache&, void*, cudaStream_t) { absent(); }
void pick_greedy(const float*, int64_t, int, int32_t*, int32_t*, int32_t*, int32_t*, void*, cudaStream_t) { absent(); }
size_t pick_scratch_bytes(int) { absent(); }
double read_bandwidth_gb_s(size_t) { absent(); }
void fill_with_random_bytes(void*, size_t, uint32_t) { absent(); }

}  // namespace teeny::cuda
