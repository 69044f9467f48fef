#include "kernels/cuda/linear_format.cuh"

namespace teeny::cuda {

FormatKernels format_5_min() { return {5, ScaleForm::HalfMin, Format<5, int(ScaleForm::HalfMin)>::run, Format<5, int(ScaleForm::HalfMin)>::unpack, Format<5, int(ScaleForm::HalfMin)>::large}; }

}  // namespace teeny::cuda
