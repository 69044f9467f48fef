// The CUDA base where there is no GPU (errors of the right kind) and where there is one.
#include <gtest/gtest.h>

#include "teeny/core/error.h"
#include "teeny/kernels/cuda.h"

namespace teeny {
namespace {

TEST(CudaBase, WithoutADeviceEverythingIsADeviceError) {
  if (cuda::device_count() > 0) GTEST_SKIP() << "this machine has a GPU";
  try {
    cuda::Buffer buffer(1024);
    FAIL() << "no memory can be had without a GPU";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::Device);
  }
}

TEST(CudaBase, MemoryGoesThereAndBack) {
  if (cuda::device_count() == 0) GTEST_SKIP() << "no GPU";
  cuda::Buffer buffer(4096);
  buffer.fill(0);
  const int sent = 42;
  buffer.upload(&sent, sizeof sent, 16);
  int got = 0;
  buffer.download(&got, sizeof got, 16);
  EXPECT_EQ(got, sent);
  EXPECT_THROW(buffer.upload(&sent, sizeof sent, 4095), Error);
}

TEST(CudaBase, OutOfMemorySaysWhatWasNeededAndLeavesNothingBroken) {
  if (cuda::device_count() == 0) GTEST_SKIP() << "no GPU";
  try {
    cuda::Buffer buffer(size_t(1) << 46);
    FAIL() << "70 TB were given";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::Device);
    EXPECT_NE(std::string(e.what()).find("are needed"), std::string::npos) << e.what();
  }
  cuda::Buffer small(1024);
  small.fill(1);
  cuda::synchronize();
}

}  // namespace
}  // namespace teeny
