#include "bench/rates.h"

#include <unistd.h>

#include <algorithm>
#include <barrier>
#include <chrono>
#include <cstring>
#include <thread>

#include "teeny/kernels/cuda.h"
#include "teeny/kernels/stream_rate.h"

namespace teeny {
namespace {

double seconds_now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// Eight independent sums of 8 x 64 bits: wide loads without a dependency between them, so that memory is the limit.
uint64_t read_all(const uint64_t* data, size_t words) {
  constexpr size_t kLanes = 64;
  uint64_t sum[kLanes] = {};
  for (size_t i = 0; i + kLanes <= words; i += kLanes)
    for (size_t lane = 0; lane < kLanes; ++lane) sum[lane] += data[i + lane];
  uint64_t total = 0;
  for (const uint64_t s : sum) total += s;
  return total;
}

// Every thread reads its own part; the part is larger than the cache that the threads share. Best of a few passes.
double read_rate_cpu(int threads) {
  const uint64_t wanted = std::max<uint64_t>(512ull << 20, 4 * last_level_cache_bytes()) / 8;
  const uint64_t available = uint64_t(std::max<int64_t>(0, ::sysconf(_SC_AVPHYS_PAGES))) * uint64_t(::sysconf(_SC_PAGESIZE)) / 8;
  const size_t words_each = size_t(std::min<uint64_t>({wanted, (1ull << 30) / 8, std::max<uint64_t>(available / 4, 1 << 20)})) / size_t(threads);
  constexpr int kPasses = 5;
  std::vector<double> begin(size_t(threads) * kPasses), end(begin.size());
  std::vector<uint64_t> sums(static_cast<size_t>(threads), 0);
  std::barrier start(threads);
  std::vector<std::thread> pool;
  for (int t = 0; t < threads; ++t)
    pool.emplace_back([&, t] {
      std::vector<uint64_t> data(words_each, uint64_t(t));  // touched here: its pages are near this thread
      for (int pass = 0; pass < kPasses; ++pass) {
        start.arrive_and_wait();
        begin[size_t(pass * threads + t)] = seconds_now();
        sums[size_t(t)] += read_all(data.data(), data.size());
        end[size_t(pass * threads + t)] = seconds_now();
      }
    });
  for (auto& thread : pool) thread.join();
  volatile uint64_t sink = 0;  // the sums are used, so that the loop is not removed
  for (const uint64_t s : sums) sink = sink + s;
  double best = 0;
  for (int pass = 0; pass < kPasses; ++pass) {
    const auto at = pass * threads;
    const double seconds = *std::max_element(end.begin() + at, end.begin() + at + threads) - *std::min_element(begin.begin() + at, begin.begin() + at + threads);
    best = std::max(best, double(words_each) * double(threads) * 8 / seconds);
  }
  return best * 1e-9;
}

// `work` on a device: the fastest of a few runs; .item() or .cpu() inside waits for the device.
template <class F>
double best_seconds(int runs, F&& work) {
  double best = 1e30;
  for (int i = 0; i < runs; ++i) {
    const double begin = seconds_now();
    work();
    best = std::min(best, seconds_now() - begin);
  }
  return best;
}

MachineRates rates_cuda(const Context& context) {
  const auto options = at::TensorOptions().device(at::Device(context.device));
  MachineRates out;
  const int64_t elements = int64_t(1) << 29;  // 2 GiB: past every cache, and long against a launch
  if (cuda::built()) {
    out.read_gb_s = cuda::read_bandwidth_gb_s(size_t(elements) * 4);
  } else {
    const Tensor data = at::ones({elements}, options.dtype(at::kFloat));
    const auto read = [&] { return data.sum().item<float>(); };
    read();
    out.read_gb_s = double(elements) * 4e-9 / best_seconds(6, read);
  }
  const int64_t n = 8192;
  const Tensor a = at::randn({n, n}, options.dtype(at::kHalf)), b = at::randn({n, n}, options.dtype(at::kHalf));  // (zeros or ones would run faster)
  const auto multiply = [&] { return at::mm(a, b)[0][0].item<float>(); };
  multiply();
  out.gemm_tflops = 2e-12 * double(n) * double(n) * double(n) / best_seconds(5, multiply);
  out.gemm_precision = "f16";
  return out;
}
}  // namespace

uint64_t last_level_cache_bytes() {
#ifdef _SC_LEVEL3_CACHE_SIZE
  const long bytes = ::sysconf(_SC_LEVEL3_CACHE_SIZE);
  return bytes > 0 ? uint64_t(bytes) : 0;
#else
  return 0;
#endif
}

MachineRates measure_rates(const Context& context) {
  if (context.device.starts_with("cuda")) return rates_cuda(context);
  MachineRates out;
  out.read_gb_s = read_rate_cpu(context.thread_count());
  const int64_t n = 1024;
  const Tensor a = at::ones({n, n}, at::kFloat), b = at::ones({n, n}, at::kFloat);
  const auto multiply = [&] { return at::mm(a, b); };
  multiply();
  out.gemm_tflops = 2e-12 * double(n) * double(n) * double(n) / best_seconds(4, multiply);
  out.gemm_precision = "f32";
  return out;
}

}  // namespace teeny
