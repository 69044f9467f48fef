#include <algorithm>

#include "kernels/cuda/columns.h"
#include "teeny/kernels/launch.cuh"

namespace teeny::cuda {
namespace {

constexpr int kWarps = 16, kThreads = 32 * kWarps, kPer = int(kMostColumns / 32);  // columns a lane
constexpr unsigned kAll = 0xffffffffu;

struct Level {
  float code, value;
};

// What a lane needs of the grid for one of its columns; the arithmetic is kernels/level.h's.
struct LaneGrid {
  float scale, zero, min;
  __device__ float value(const GridView& g, float code) const { return g.table ? scale * g.table[int(code)] : scale * (code - zero) - min; }
  __device__ Level nearest(const GridView& g, float w) const {
    float q = 0;
    if (g.table) {
      const float x = scale != 0 ? w / scale : 0;
      while (q < float(g.hi) && x >= (g.table[int(q)] + g.table[int(q) + 1]) * 0.5f) ++q;
    } else {
      const float steps = scale != 0 ? rintf((w + min) / scale) + zero : zero;
      q = fminf(fmaxf(steps, 0.0f), float(g.hi));  // NaN becomes 0
    }
    return {q, value(g, q)};
  }
};

__device__ void load_square(const float* from, float* to, int64_t columns) {
  for (int64_t i = threadIdx.x; i < columns * columns; i += kThreads) to[i] = from[i];
  __syncthreads();
}

__device__ void load_grid(const GridView& g, const int* group, int64_t row, LaneGrid* grid) {
#pragma unroll
  for (int j = 0; j < kPer; ++j) {
    const int64_t at = row * g.groups + group[j];
    grid[j] = {g.scale[at], g.zero ? g.zero[at] : 0, g.min ? g.min[at] : 0};
  }
}

__global__ void __launch_bounds__(kThreads) update_kernel(UpdateView v) {
  extern __shared__ float u[];
  const int B = int(v.columns), lane = threadIdx.x % 32;
  load_square(v.u, u, B);
  int group[kPer];
#pragma unroll
  for (int j = 0; j < kPer; ++j) group[j] = int(v.grid.group[min(lane + 32 * j, B - 1)]);
  for (int64_t row = int64_t(blockIdx.x) * kWarps + threadIdx.x / 32; row < v.rows; row += int64_t(gridDim.x) * kWarps) {
    float w[kPer], error[kPer], loss = 0;
    uint8_t codes[kPer];
    LaneGrid grid[kPer];
    load_grid(v.grid, group, row, grid);
#pragma unroll
    for (int j = 0; j < kPer; ++j) w[j] = lane + 32 * j < B ? v.w[row * B + lane + 32 * j] : 0, error[j] = 0, codes[j] = 0;
#pragma unroll
    for (int j = 0; j < kPer; ++j)
      for (int owner = 0; owner < 32 && 32 * j + owner < B; ++owner) {
        const int i = 32 * j + owner;
        const Level level = grid[j].nearest(v.grid, w[j]);
        const float own = (w[j] - level.value) / u[i * B + i], e = __shfl_sync(kAll, own, owner);
        if (lane == owner) codes[j] = uint8_t(level.code), error[j] = e, w[j] = level.value;
        loss += e * e / 2;
#pragma unroll
        for (int k = j; k < kPer; ++k)
          if (const int column = lane + 32 * k; column > i && column < B) w[k] -= e * u[i * B + column];
      }
#pragma unroll
    for (int j = 0; j < kPer; ++j)
      if (const int column = lane + 32 * j; column < B) {
        const int64_t at = row * B + column;
        v.w[at] = w[j], v.error[at] = error[j], v.codes[at] = codes[j];
      }
    if (lane == 0) v.loss[row] = loss;
  }
}

__global__ void __launch_bounds__(kThreads) descent_kernel(DescentView v) {
  extern __shared__ float h[];
  const int B = int(v.columns), lane = threadIdx.x % 32;
  load_square(v.h, h, B);
  int group[kPer];
#pragma unroll
  for (int j = 0; j < kPer; ++j) group[j] = int(v.grid.group[min(lane + 32 * j, B - 1)]);
  for (int64_t row = int64_t(blockIdx.x) * kWarps + threadIdx.x / 32; row < v.rows; row += int64_t(gridDim.x) * kWarps) {
    float residual[kPer], change[kPer], codes[kPer];
    bool fixed[kPer];
    LaneGrid grid[kPer];
    load_grid(v.grid, group, row, grid);
#pragma unroll
    for (int j = 0; j < kPer; ++j) {
      const bool mine = lane + 32 * j < B;
      const int64_t at = row * B + lane + 32 * j;
      residual[j] = mine ? v.residual[at] : 0, codes[j] = mine ? float(v.codes[at]) : 0, change[j] = 0;
      fixed[j] = mine && v.fixed && v.fixed[at];
    }
#pragma unroll
    for (int j = 0; j < kPer; ++j)
      for (int owner = 0; owner < 32 && 32 * j + owner < B; ++owner) {
        const int i = 32 * j + owner;
        const float old = grid[j].value(v.grid, codes[j]);
        const Level level = fixed[j] ? Level{codes[j], old} : grid[j].nearest(v.grid, old + residual[j] / h[i * B + i]);
        const float by = __shfl_sync(kAll, level.value - old, owner);
        if (lane == owner) change[j] = by;
        if (by == 0) continue;
        if (lane == owner) codes[j] = level.code;
#pragma unroll
        for (int k = 0; k < kPer; ++k)
          if (const int column = lane + 32 * k; column < B) residual[k] -= by * h[i * B + column];
      }
#pragma unroll
    for (int j = 0; j < kPer; ++j)
      if (const int column = lane + 32 * j; column < B) {
        const int64_t at = row * B + column;
        v.residual[at] = residual[j], v.change[at] = change[j], v.codes[at] = uint8_t(codes[j]);
      }
  }
}

constexpr int kTile = 32;

__global__ void mirror_kernel(float* a, int64_t n) {
  __shared__ float tile[kTile][kTile + 1];
  if (blockIdx.x > blockIdx.y) return;  // tiles on and below the diagonal
  const int64_t row = int64_t(blockIdx.y) * kTile, column = int64_t(blockIdx.x) * kTile;
  const auto x = threadIdx.x, y = threadIdx.y;
  if (row + y < n && column + x < n) tile[y][x] = a[(row + y) * n + column + x];
  __syncthreads();
  const int64_t to_row = column + y, to_column = row + x;
  if (to_row < n && to_column < n && to_column > to_row) a[to_row * n + to_column] = tile[x][y];
}

__device__ __forceinline__ float number(const float* x, int64_t i) { return x[i]; }
__device__ __forceinline__ float number(const uint16_t* x, int64_t i) { return __uint_as_float(uint32_t(x[i]) << 16); }

template <class T>
__global__ void sums_kernel(const T* x, int64_t rows, int64_t columns, int64_t step, float* out) {
  const int64_t column = int64_t(blockIdx.x) * blockDim.x + threadIdx.x, begin = int64_t(blockIdx.y) * step, end = begin + step < rows ? begin + step : rows;
  if (column >= columns) return;
  float square = 0, absolute = 0, sum = 0, most = 0;
  for (int64_t row = begin; row < end; ++row) {
    const float value = number(x, row * columns + column), a = fabsf(value);
    square += value * value, absolute += a, sum += value;
    most = a > most || isnan(a) ? a : most;
  }
  float* to = out + int64_t(blockIdx.y) * 4 * columns + column;
  to[0] = square, to[columns] = absolute, to[2 * columns] = sum, to[3 * columns] = most;
}

LaunchShape rows_shape(int64_t rows, int64_t columns, cudaStream_t stream) {
  const auto blocks = unsigned(std::min<int64_t>((rows + kWarps - 1) / kWarps, 1024));
  return {dim3(blocks), dim3(kThreads), size_t(columns * columns) * sizeof(float), stream};
}

}  // namespace

void column_update(const UpdateView& view, cudaStream_t stream) {
  allow_shared(update_kernel, size_t(kMostColumns * kMostColumns) * sizeof(float));
  launch(update_kernel, rows_shape(view.rows, view.columns, stream), view);
}

void column_descent(const DescentView& view, cudaStream_t stream) {
  allow_shared(descent_kernel, size_t(kMostColumns * kMostColumns) * sizeof(float));
  launch(descent_kernel, rows_shape(view.rows, view.columns, stream), view);
}

void mirror_lower(float* a, int64_t n, cudaStream_t stream) {
  const auto tiles = unsigned((n + kTile - 1) / kTile);
  launch(mirror_kernel, {dim3(tiles, tiles), dim3(kTile, kTile), 0, stream}, a, n);
}

void column_sums(const void* x, bool bf16, int64_t rows, int64_t columns, int64_t step, float* out, cudaStream_t stream) {
  const LaunchShape shape{dim3(unsigned((columns + 127) / 128), unsigned((rows + step - 1) / step)), dim3(128), 0, stream};
  if (bf16) launch(sums_kernel<uint16_t>, shape, static_cast<const uint16_t*>(x), rows, columns, step, out);
  else launch(sums_kernel<float>, shape, static_cast<const float*>(x), rows, columns, step, out);
}

}  // namespace teeny::cuda
