#include "kernels/cuda/linear_format.cuh"

namespace teeny::cuda {

FormatKernels format_16() { return {16, ScaleForm::Half, Format<16, 0>::run, Format<16, 0>::unpack}; }

}  // namespace teeny::cuda
