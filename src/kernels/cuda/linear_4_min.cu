#include "kernels/cuda/linear_format.cuh"

namespace teeny::cuda {

FormatKernels format_4_min() { return {4, ScaleForm::HalfMin, Format<4, int(ScaleForm::HalfMin)>::run, Format<4, int(ScaleForm::HalfMin)>::unpack, Format<4, int(ScaleForm::HalfMin)>::large}; }

}  // namespace teeny::cuda
