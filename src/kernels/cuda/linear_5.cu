#include "kernels/cuda/linear_format.cuh"

namespace teeny::cuda {

FormatKernels format_5() { return {5, ScaleForm::Half, Format<5, 0>::run, Format<5, 0>::unpack, Format<5, 0>::large}; }

}  // namespace teeny::cuda
