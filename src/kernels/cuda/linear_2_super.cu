#include "kernels/cuda/linear_format.cuh"

namespace teeny::cuda {

FormatKernels format_2_super() { return {2, ScaleForm::SuperN4, Format<2, int(ScaleForm::SuperN4)>::run, Format<2, int(ScaleForm::SuperN4)>::unpack, Format<2, int(ScaleForm::SuperN4)>::large}; }

}  // namespace teeny::cuda
