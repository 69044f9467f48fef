#include "kernels/cuda/linear_format.cuh"

namespace teeny::cuda {

FormatKernels format_4_super() { return {4, ScaleForm::Super6, Format<4, int(ScaleForm::Super6)>::run, Format<4, int(ScaleForm::Super6)>::unpack, Format<4, int(ScaleForm::Super6)>::large}; }

}  // namespace teeny::cuda
