#include "teeny/runtime/host_allocator.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <thread>

namespace teeny {
namespace {

int64_t anonymous_kb() {
  std::ifstream in("/proc/self/status");
  std::string word;
  for (int64_t kb; in >> word;)
    if (word == "RssAnon:" && in >> kb) return kb;
  return -1;
}

TEST(HostAllocator, KeepsWhatIsUsedAgainAndNoMore) {
  use_host_allocator();
  use_host_allocator();
  const void* first = nullptr;
  for (int i = 0; i < 3; ++i) {
    const at::Tensor t = at::zeros({1 << 20});  // 4 MB
    if (!first) first = t.const_data_ptr();
    EXPECT_EQ(t.const_data_ptr(), first);  // the same pages again
  }
  const int64_t before = anonymous_kb();
  {
    std::vector<at::Tensor> many;
    for (int i = 0; i < 64; ++i) many.push_back(at::ones({(2 << 20) + i * 200'000}));  // 8 to 58 MB each, 2 GB
    EXPECT_GT(anonymous_kb(), before + 1'500'000);
    for (const auto& t : many) EXPECT_EQ(t[t.size(0) - 1].item<float>(), 1);
  }
  EXPECT_LT(anonymous_kb(), before + 300'000);
}

TEST(HostAllocator, SizesThreadsAndErrors) {
  use_host_allocator();
  EXPECT_EQ(at::empty({0}).numel(), 0);
  for (const int64_t n : {1, 63, 64, 1 << 18, (1 << 18) + 1, 1 << 19, 3 << 19}) {
    at::Tensor t = at::empty({n});
    EXPECT_EQ(reinterpret_cast<uintptr_t>(t.const_data_ptr()) % 64, 0u);
    std::memset(t.mutable_data_ptr(), 1, size_t(n) * 4);
    const at::Tensor grown = at::cat({t, t});
    EXPECT_EQ(grown.numel(), 2 * n);
  }
  std::vector<std::thread> threads;
  for (int k = 0; k < 4; ++k)
    threads.emplace_back([k] {
      for (int i = 0; i < 200; ++i) {
        const at::Tensor t = at::full({300'000 + 1000 * (i % 5)}, k);
        ASSERT_EQ(t.sum().item<float>(), float(k) * float(t.numel()));
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_THROW(at::empty({int64_t(1) << 50}), c10::Error);
}

}  // namespace
}  // namespace teeny
