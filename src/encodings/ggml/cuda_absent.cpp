// A build without nvcc: no type has kernels, so nothing is ever asked of a lane.
#include "encodings/ggml/cuda.h"
#include "teeny/core/error.h"
#include "teeny/encodings/device_rows.h"

namespace teeny {

const ggml::CudaKernels* ggml::cuda_kernels_of(DType) { return nullptr; }

std::unique_ptr<DeviceRows> DeviceRows::make(int device, int64_t) {
  cuda::set_device(device);  // says what is missing
  return nullptr;
}

bool DeviceRows::supports(const EncodingSpec&, const EncodingSpec&) { return false; }

}  // namespace teeny
