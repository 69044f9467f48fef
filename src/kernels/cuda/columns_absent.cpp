// A build without nvcc: tensors never live on a GPU, so these are never called; check() says what is missing.
#include "kernels/cuda/columns.h"

namespace teeny::cuda {

void column_update(const UpdateView&, cudaStream_t) { check(1, "column_update", __FILE__, __LINE__); }
void column_descent(const DescentView&, cudaStream_t) { check(1, "column_descent", __FILE__, __LINE__); }
void mirror_lower(float*, int64_t, cudaStream_t) { check(1, "mirror_lower", __FILE__, __LINE__); }
void column_sums(const void*, bool, int64_t, int64_t, int64_t, float*, cudaStream_t) { check(1, "column_sums", __FILE__, __LINE__); }

}  // namespace teeny::cuda
