#include "kernels/cuda/linear_format.cuh"

namespace teeny::cuda {

FormatKernels format_5_super() { return {5, ScaleForm::Super6, Format<5, int(ScaleForm::Super6)>::run, Format<5, int(ScaleForm::Super6)>::unpack, Format<5, int(ScaleForm::Super6)>::large}; }

}  // namespace teeny::cuda
