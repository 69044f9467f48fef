#include "kernels/cuda/linear_format.cuh"

namespace teeny::cuda {

FormatKernels format_3() { return {3, ScaleForm::Half, Format<3, 0>::run, Format<3, 0>::unpack, Format<3, 0>::large}; }

}  // namespace teeny::cuda
