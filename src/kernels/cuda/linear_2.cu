#include "kernels/cuda/linear_format.cuh"

namespace teeny::cuda {

FormatKernels format_2() { return {2, ScaleForm::Half, Format<2, 0>::run, Format<2, 0>::unpack, Format<2, 0>::large}; }

}  // namespace teeny::cuda
