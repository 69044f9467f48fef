#include "kernels/cuda/linear_format.cuh"

namespace teeny::cuda {

FormatKernels format_3_super() { return {3, ScaleForm::SuperI8, Format<3, int(ScaleForm::SuperI8)>::run, Format<3, int(ScaleForm::SuperI8)>::unpack, Format<3, int(ScaleForm::SuperI8)>::large}; }

}  // namespace teeny::cuda
