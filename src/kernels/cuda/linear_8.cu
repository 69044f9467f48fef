#include "kernels/cuda/linear_format.cuh"

namespace teeny::cuda {

FormatKernels format_8() { return {8, ScaleForm::Half, Format<8, 0>::run, Format<8, 0>::unpack, Format<8, 0>::large}; }

}  // namespace teeny::cuda
