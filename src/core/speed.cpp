#include "teeny/core/speed.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "teeny/core/parallel.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define TEENY_X86 1
#endif

namespace teeny {
namespace {

constexpr int kSums = 12;  // independent, so that none waits for another
using Clock = std::chrono::steady_clock;

// Each runs `rounds` multiply-adds on kSums vectors and returns their floating-point operations; the sum keeps them alive.
using Kernel = double (*)(long rounds, float* sink);

double plain_loop(long rounds, float* sink) {
  float sums[kSums * 4] = {};
  for (long i = 0; i < rounds; ++i)
    for (float& s : sums) s = s * 0.999f + 0.5f;
  for (const float s : sums) *sink += s;
  return 2.0 * double(rounds) * kSums * 4;
}

#ifdef TEENY_X86
__attribute__((target("avx2,fma"))) double avx2_loop(long rounds, float* sink) {
  __m256 sums[kSums];
  for (auto& s : sums) s = _mm256_setzero_ps();
  const __m256 a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(0.5f);
  for (long i = 0; i < rounds; ++i)
#pragma GCC unroll 12
    for (int k = 0; k < kSums; ++k) sums[k] = _mm256_fmadd_ps(sums[k], a, b);
  for (const auto& s : sums) *sink += _mm256_cvtss_f32(s);
  return 2.0 * double(rounds) * kSums * 8;
}

__attribute__((target("avx512f"))) double avx512_loop(long rounds, float* sink) {
  __m512 sums[kSums];
  for (auto& s : sums) s = _mm512_setzero_ps();
  const __m512 a = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(0.5f);
  for (long i = 0; i < rounds; ++i)
#pragma GCC unroll 12
    for (int k = 0; k < kSums; ++k) sums[k] = _mm512_fmadd_ps(sums[k], a, b);
  for (const auto& s : sums) *sink += _mm512_cvtss_f32(s);
  return 2.0 * double(rounds) * kSums * 16;
}
#endif

Kernel best_kernel() {
#ifdef TEENY_X86
  if (__builtin_cpu_supports("avx512f")) return avx512_loop;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return avx2_loop;
#endif
  return plain_loop;
}

}  // namespace

MachineSpeed measure_speed(int threads) {
  constexpr double kSeconds = 0.15;
  const Kernel kernel = best_kernel();
  std::vector<double> done(size_t(std::max(1, threads)), 0);
  const auto start = Clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
  parallel_for(done.size(), threads, [&](size_t i) {
    volatile float keep = 0;
    float sink = 0;
    while (elapsed() < kSeconds) done[i] += kernel(20000, &sink);
    keep = sink;
    (void)keep;
  });
  double sum = 0;
  for (const double flops : done) sum += flops;
  return {sum / elapsed()};
}

}  // namespace teeny
