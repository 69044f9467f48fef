#include "kernels/cuda/linear_format.cuh"

namespace teeny::cuda {

FormatKernels format_4() { return {4, ScaleForm::Half, Format<4, 0>::run, Format<4, 0>::unpack, Format<4, 0>::large}; }

}  // namespace teeny::cuda
