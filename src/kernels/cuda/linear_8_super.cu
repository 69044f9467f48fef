#include "kernels/cuda/linear_format.cuh"

namespace teeny::cuda {

FormatKernels format_8_super() { return {8, ScaleForm::SuperI8, Format<8, int(ScaleForm::SuperI8)>::run, Format<8, int(ScaleForm::SuperI8)>::unpack, Format<8, int(ScaleForm::SuperI8)>::large}; }

}  // namespace teeny::cuda
