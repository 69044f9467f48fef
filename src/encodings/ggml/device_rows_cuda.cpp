// A lane of the streaming search: stored rows in, GGML blocks and error sums out.
#include <cuda_runtime.h>

#include <algorithm>
#include <climits>
#include <cstring>

#include "encodings/ggml/cuda.h"
#include "teeny/core/error.h"
#include "teeny/encodings/device_rows.h"

namespace teeny {
namespace {

constexpr int64_t kLargestOut = 2;  // bytes a weight that no type reaches (Q8_0: 34 / 32)

struct Tail {  // what comes back beside the blocks
  unsigned long long first_bad;
  ggml::SquarePair partial[ggml::kSumBlocks];
};

class Lane final : public DeviceRows {
 public:
  Lane(int device, int64_t elements)
      : device_(device), elements_(elements), stored_(size_t(elements) * 4), w_(size_t(elements) * 4), q_(size_t(elements) * 4), codes_(size_t(elements)),
        scales_(size_t(elements / 16) * 2 + 256), d_(size_t(elements / 32) * 4 + 256), blocks_(size_t(elements * kLargestOut)), tail_(sizeof(Tail)),
        host_in_(size_t(elements) * 4), host_out_(size_t(elements * kLargestOut)), host_tail_(sizeof(Tail)) {}

  std::byte* input() override { return host_in_.data(); }
  const std::byte* output() override { return host_out_.data(); }
  uint64_t device_bytes() const override {
    uint64_t sum = 0;
    for (const auto* buffer : {&stored_, &w_, &q_, &codes_, &scales_, &d_, &blocks_, &importance_, &tail_}) sum += buffer->bytes();
    return sum;
  }

  Result encode(DType from, DType to, const float* importance, int64_t rows, int64_t K) override {
    cuda::set_device(device_);  // a thread's own
    const auto& type = ggml::type_of(to);
    const auto& kernels = *ggml::cuda_kernels_of(to);
    const int64_t n = rows * K, blocks = n / type.block, subs = blocks * type.subs();
    TEENY_ASSERT(n <= elements_ && K % type.block == 0);
    const cudaStream_t stream = stream_.get();
    TEENY_CUDA(cudaMemcpyAsync(stored_.data(), host_in_.data(), size_t(n) * size_t(traits(from).bytes), cudaMemcpyHostToDevice, stream));
    TEENY_CUDA(cudaMemsetAsync(tail_.data(), 0xff, sizeof(unsigned long long), stream));
    const float* weights = nullptr;
    if (importance) {
      if (host_importance_.bytes() < size_t(K) * 4) importance_ = cuda::Buffer(size_t(K) * 4), host_importance_ = cuda::PinnedBuffer(size_t(K) * 4);
      std::memcpy(host_importance_.data(), importance, size_t(K) * 4);
      TEENY_CUDA(cudaMemcpyAsync(importance_.data(), host_importance_.data(), size_t(K) * 4, cudaMemcpyHostToDevice, stream));
      weights = importance_.data<float>();
    }
    auto* tail = tail_.data<Tail>();
    ggml::widen(from, stored_.data(), n, w_.data<float>(), &tail->first_bad, stream);
    auto* d = d_.data<uint16_t>();
    auto* sc = scales_.data<int8_t>();
    const ggml::Blocks out{rows, K, codes_.data<uint8_t>(), d, type.min ? d + blocks : nullptr, type.subs() > 1 ? sc : nullptr,
                           type.subs() > 1 && type.min ? sc + subs : nullptr};
    kernels.quantize(w_.data<float>(), weights, out, stream);
    kernels.pack(out, blocks_.data<uint8_t>(), stream);
    kernels.decode(blocks_.data<uint8_t>(), blocks, q_.data<float>(), stream);
    ggml::add_squares(w_.data<float>(), q_.data<float>(), n, tail->partial, stream);
    TEENY_CUDA(cudaMemcpyAsync(host_out_.data(), blocks_.data(), size_t(blocks * type.bytes), cudaMemcpyDeviceToHost, stream));
    TEENY_CUDA(cudaMemcpyAsync(host_tail_.data(), tail, sizeof(Tail), cudaMemcpyDeviceToHost, stream));
    stream_.synchronize();
    const Tail& back = *host_tail_.data<Tail>();
    Result result;
    result.first_bad = back.first_bad == ULLONG_MAX ? -1 : int64_t(back.first_bad);
    for (const auto& part : back.partial) result.sums.difference += part.difference, result.sums.original += part.original;
    return result;
  }

 private:
  int device_;
  int64_t elements_;
  cuda::Stream stream_;
  cuda::Buffer stored_, w_, q_, codes_, scales_, d_, blocks_, importance_, tail_;
  cuda::PinnedBuffer host_in_, host_out_, host_importance_, host_tail_;
};

}  // namespace

std::unique_ptr<DeviceRows> DeviceRows::make(int device, int64_t elements) {
  cuda::set_device(device);
  return std::make_unique<Lane>(device, elements);
}

bool DeviceRows::supports(const EncodingSpec& from, const EncodingSpec& to) {
  const bool plain = from.kind == EncodingKind::Plain && (from.dtype == DType::F32 || from.dtype == DType::F16 || from.dtype == DType::BF16);
  return plain && to.kind == EncodingKind::Ggml && ggml::cuda_kernels_of(to.dtype) != nullptr;
}

}  // namespace teeny
