#include "teeny/kernels/fixed_order.h"

#include <ATen/Parallel.h>
#include <dlfcn.h>

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <vector>

#include "kernels/cuda/columns.h"
#include "teeny/core/error.h"

namespace teeny {
namespace {
constexpr int64_t kCpuPanel = 256, kCudaPanel = 1024;

// What a tensor is cut into: a piece is one thread's on the CPU, one library call after the other on a GPU.
struct Cut {
  int64_t panel;
  explicit Cut(const Tensor& t) : panel(t.is_cuda() ? kCudaPanel : kCpuPanel) {}
  int64_t panels(int64_t n) const { return (n + panel - 1) / panel; }
  Tensor rows(const Tensor& t, int64_t i) const { return t.slice(0, i * panel, std::min(t.size(0), (i + 1) * panel)); }
  Tensor tile(const Tensor& t, int64_t i, int64_t j) const { return rows(t, i).slice(1, j * panel, std::min(t.size(1), (j + 1) * panel)); }
};

void for_each_piece(const Tensor& t, int64_t n, const std::function<void(int64_t)>& body) {
  if (!t.is_cuda()) return for_each_single_threaded(n, body);
  for (int64_t i = 0; i < n; ++i) body(i);
}

// x^T y in f32 of rows of 16 or 32 bits, on a GPU.
Tensor transposed_product(const Tensor& x, const Tensor& y) {
  return x.scalar_type() == at::kFloat ? at::mm(x.t(), y) : at::mm(x.t(), y, at::kFloat);
}

// MKL (inside libtorch) takes its thread count from the calling thread when told so; without MKL nothing is to be told.
class OneMklThread {
 public:
  OneMklThread() : before_(set(1)) {}
  ~OneMklThread() { set(before_); }

 private:
  static int set(int n) {
    using Set = int(int);
    static Set* const function = reinterpret_cast<Set*>(::dlsym(RTLD_DEFAULT, "MKL_Set_Num_Threads_Local"));
    return function ? function(n) : 0;
  }
  int before_;
};

// Lower factor of a small (n, n) matrix, in place, in plain loops (LAPACK's differs between one thread and several).
bool small_cholesky(Tensor& a) {
  const int64_t n = a.size(0);
  float* l = a.mutable_data_ptr<float>();
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j <= i; ++j) {
      double sum = l[i * n + j];
      for (int64_t k = 0; k < j; ++k) sum -= double(l[i * n + k]) * double(l[j * n + k]);
      if (i == j && !(sum > 0)) return false;
      l[i * n + j] = float(i == j ? std::sqrt(sum) : sum / double(l[j * n + j]));
    }
  a.tril_();
  return true;
}

}  // namespace

void for_each_single_threaded(int64_t n, const std::function<void(int64_t)>& body) {
  std::exception_ptr failure;
  std::atomic<bool> failed{false};
  std::atomic<int64_t> next{0};
  const int threads = at::get_num_threads();
  // Never a team of one: libraries look whether they are called from inside a parallel region, and choose other code then.
#pragma omp parallel num_threads(std::max(2, threads))
  {
    const OneMklThread guard;
    if (omp_get_thread_num() < threads)
      for (int64_t i; !failed && (i = next++) < n;) {
        try {
          body(i);
        } catch (...) {
#pragma omp critical(teeny_fixed_order)
          if (!failure) failure = std::current_exception();
          failed = true;
        }
      }
  }
  if (failure) std::rethrow_exception(failure);
}

TensorCores::TensorCores(bool on) : before_(at::globalContext().allowTF32CuBLAS()) { at::globalContext().setAllowTF32CuBLAS(on || before_); }
TensorCores::~TensorCores() { at::globalContext().setAllowTF32CuBLAS(before_); }

Tensor fixed_matmul(const Tensor& a, const Tensor& b) {
  if (a.is_cuda()) return at::mm(a, b);
  const Cut cut(a);
  Tensor out = at::empty({a.size(0), b.size(1)}, a.options());
  for_each_single_threaded(cut.panels(a.size(0)), [&](int64_t i) {
    Tensor rows = cut.rows(out, i);
    at::mm_out(rows, cut.rows(a, i), b);
  });
  return out;
}

void subtract_product(Tensor& target, const Tensor& a, const Tensor& b) {
  if (a.is_cuda()) {
    target.addmm_(a, b, 1, -1);
    return;
  }
  const Cut cut(a);
  for_each_single_threaded(cut.panels(a.size(0)), [&](int64_t i) { cut.rows(target, i).addmm_(cut.rows(a, i), b, 1, -1); });
}

void add_gram(Tensor& gram, const Tensor& x) {
  const Cut cut(gram);
  const Tensor xt = x.t();
  const int64_t n = cut.panels(gram.size(0));
  for_each_piece(gram, n, [&](int64_t i) {  // rows of panel i, columns up to its own
    const Tensor rows = cut.rows(xt, n - 1 - i);
    const int64_t columns = (n - 1 - i) * cut.panel + rows.size(0);
    Tensor into = cut.rows(gram, n - 1 - i).slice(1, 0, columns);
    if (gram.is_cuda()) into.add_(transposed_product(rows.t(), x.slice(1, 0, columns)));
    else into.addmm_(rows, x.slice(1, 0, columns));
  });
}

void mirror_lower(Tensor& square) {
  if (square.is_cuda()) {
    TEENY_ASSERT(square.is_contiguous());
    cuda::set_device(square.device().index());
    return cuda::mirror_lower(square.mutable_data_ptr<float>(), square.size(0), nullptr);
  }
  const Cut cut(square);
  for_each_single_threaded(cut.panels(square.size(0)), [&](int64_t i) {
    for (int64_t j = 0; j < i; ++j) cut.tile(square, j, i).copy_(cut.tile(square, i, j).t());
    Tensor diagonal = cut.tile(square, i, i);
    diagonal.copy_(diagonal.tril() + diagonal.tril(-1).t());
  });
}

namespace {

// The tile on the diagonal, factored in place of a copy; undefined: not positive definite.
Tensor diagonal_factor(const Tensor& tile) {
  if (tile.is_cuda()) {
    const auto [l, info] = at::linalg_cholesky_ex(tile.tril() + tile.tril(-1).t());
    return info.item<int>() == 0 && l.isfinite().all().item<bool>() ? l : Tensor();
  }
  Tensor l = tile.contiguous();
  return small_cholesky(l) ? l : Tensor();
}

}  // namespace

bool cholesky_in_place(Tensor& a) {
  const Cut cut(a);
  const int64_t n = cut.panels(a.size(0));
  for (int64_t k = 0; k < n; ++k) {
    const Tensor diagonal = diagonal_factor(cut.tile(a, k, k));
    if (!diagonal.defined()) return false;
    cut.tile(a, k, k).copy_(diagonal);
    if (a.is_cuda()) {  // the same in larger steps
      const int64_t begin = std::min(a.size(0), (k + 1) * cut.panel);
      Tensor below = a.slice(0, begin).slice(1, k * cut.panel, begin);
      if (below.size(0) > 0) below.copy_(at::linalg_solve_triangular(diagonal.t(), below, /*upper=*/true, /*left=*/false));
      for (int64_t i = k + 1; i < n; ++i) {
        const int64_t end = std::min(a.size(0), (i + 1) * cut.panel);
        cut.rows(a, i).slice(1, begin, end).addmm_(cut.tile(a, i, k), below.slice(0, 0, end - begin).t(), 1, -1);
      }
      continue;
    }
    for_each_piece(a, n - k - 1, [&](int64_t i) {  // L_ik = A_ik L_kk^-T
      Tensor below = cut.tile(a, k + 1 + i, k);
      below.copy_(at::linalg_solve_triangular(diagonal.t(), below, /*upper=*/true, /*left=*/false));
    });
    for_each_piece(a, n - k - 1, [&](int64_t i) {
      for (int64_t j = 0; j <= i; ++j) cut.tile(a, k + 1 + i, k + 1 + j).addmm_(cut.tile(a, k + 1 + i, k), cut.tile(a, k + 1 + j, k).t(), 1, -1);
    });
  }
  return true;
}

Tensor fixed_cholesky(const Tensor& a) {
  Tensor l = a.tril();
  return cholesky_in_place(l) ? l.tril_() : Tensor();
}

Tensor diagonal_tiles(const Tensor& a) {
  const Cut cut(a);
  Tensor saved = at::empty({a.size(0), std::min(cut.panel, a.size(0))}, a.options());
  for (int64_t i = 0; i < cut.panels(a.size(0)); ++i) {
    const Tensor from = cut.tile(a, i, i);
    cut.rows(saved, i).slice(1, 0, from.size(1)).copy_(from);
  }
  return saved;
}

void restore_lower(Tensor& a, const Tensor& saved_diagonal_tiles) {
  const Cut cut(a);
  for_each_piece(a, cut.panels(a.size(0)), [&](int64_t i) {
    for (int64_t j = 0; j < i; ++j) cut.tile(a, i, j).copy_(cut.tile(a, j, i).t());
    Tensor diagonal = cut.tile(a, i, i);
    diagonal.copy_(cut.rows(saved_diagonal_tiles, i).slice(1, 0, diagonal.size(1)));
  });
}

Tensor inverse_cholesky_upper(const Tensor& h) {
  const Tensor l = fixed_cholesky(h.flip({0, 1}));
  return l.defined() ? upper_from_reversed_factor(l) : Tensor();
}

Tensor upper_from_reversed_factor(const Tensor& l) {
  const Cut cut(l);
  const int64_t K = l.size(0), n = cut.panels(K);
  Tensor u = at::zeros_like(l);
  std::vector<char> finite(size_t(n), 1);
  for_each_piece(l, n, [&](int64_t i) {  // columns of panel i of L^-1 (zero above it), by rows of tiles
    const int64_t begin = i * cut.panel, width = std::min(cut.panel, K - begin);
    const Tensor x = at::zeros({K - begin, width}, l.options());
    x.slice(0, 0, width).fill_diagonal_(1);
    for (int64_t r = i; r < n; ++r) {
      Tensor rows = cut.rows(x, r - i);
      if (r > i) rows.addmm_(cut.rows(l, r).slice(1, begin, r * cut.panel), x.slice(0, 0, (r - i) * cut.panel), 1, -1);
      rows.copy_(at::linalg_solve_triangular(cut.tile(l, r, r).contiguous(), rows, /*upper=*/false));
    }
    finite[size_t(i)] = std::isfinite(x.sum().item<float>());
    u.slice(0, 0, K - begin).slice(1, K - begin - width, K - begin).copy_(x.flip({0, 1}));
  });
  return std::count(finite.begin(), finite.end(), 0) ? Tensor() : u;
}

double energy(const Tensor& d, const Tensor& gram) {
  return (fixed_matmul(d, gram) * d).sum(at::kDouble).item<double>();
}

}  // namespace teeny
