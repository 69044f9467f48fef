// Linear algebra whose result depends on neither the thread count nor the machine's load: the work is cut into pieces of
// a fixed size, and each piece is one thread's, in one library call. (libtorch's own products and factorisations differ
// bitwise between one thread and two.) Tensors on a GPU go through its own library, piece after piece on one stream: the
// same bits on every run, though not the CPU's.
#pragma once
#include <exception>
#include <functional>

#include "teeny/tensor/quant_tensor.h"

namespace teeny {

// body(i) for i in [0, n), each on one thread with libtorch's own parallelism off, also when n is 1.
void for_each_single_threaded(int64_t n, const std::function<void(int64_t)>& body);

Tensor fixed_matmul(const Tensor& a, const Tensor& b);        // (M, K) x (K, N) -> (M, N), in panels of rows of a
void subtract_product(Tensor& target, const Tensor& a, const Tensor& b);  // target (M, N) -= a (M, K) x b (K, N)
void add_gram(Tensor& gram, const Tensor& x);                 // gram (K, K) f32 += x^T x; x (T, K) f32, or bf16 on a GPU. Lower triangle only
void mirror_lower(Tensor& square);                            // copies the lower triangle to the upper
double energy(const Tensor& d, const Tensor& gram);           // tr(D G D^T), d (N, K); on a GPU to about three digits

// While one lives: f32 products on a GPU take inputs of 10-bit fractions (TF32), if `on`. On the CPU it changes nothing.
class TensorCores {
 public:
  explicit TensorCores(bool on);
  ~TensorCores();
  TensorCores(const TensorCores&) = delete;
  TensorCores& operator=(const TensorCores&) = delete;

 private:
  bool before_;
};

// Lower Cholesky factor of a symmetric (K, K) f32 matrix (lower triangle read); undefined result: not positive definite.
Tensor fixed_cholesky(const Tensor& a);
// The same into the lower triangle of `a` itself (K, K). Of the rest only tiles on the diagonal change, so that a symmetric
// matrix with its diagonal_tiles() can be had back; false: not positive definite, the lower triangle is lost.
bool cholesky_in_place(Tensor& a);
Tensor diagonal_tiles(const Tensor& a);
void restore_lower(Tensor& a, const Tensor& saved_diagonal_tiles);
// U upper triangular with U^T U = inverse(H): what GPTQ walks along. Undefined: not positive definite.
// With J the reversal of rows and columns: J H J = L L^T gives H = R R^T for the upper triangular R = J L J, so
// inverse(H) = R^-T R^-1 and U = R^-1 = J L^-1 J: one factorisation and one triangular inverse.
Tensor inverse_cholesky_upper(const Tensor& h);
Tensor upper_from_reversed_factor(const Tensor& l);  // L of J H J (lower triangle read) -> U

}  // namespace teeny
