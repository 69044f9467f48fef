#include "kernels/cuda/linear_format.cuh"

namespace teeny::cuda {

FormatKernels format_6_super() { return {6, ScaleForm::SuperI8, Format<6, int(ScaleForm::SuperI8)>::run, Format<6, int(ScaleForm::SuperI8)>::unpack, Format<6, int(ScaleForm::SuperI8)>::large}; }

}  // namespace teeny::cuda
