#include "pipeline/rows.h"

#include <cmath>
#include <cstring>
#include <vector>

#include "teeny/core/error.h"
#include "teeny/core/parallel.h"
#include "teeny/encodings/row_codec.h"

namespace teeny {
namespace {

constexpr int64_t kPieceElements = 512 << 10;  // read and written at once: 1 MB of bf16
constexpr int kLeastLanes = 4;  // of a GPU, so that reading, computing and writing overlap on a machine of few cores too
constexpr int64_t kTileElements = 32 << 10;    // worked on at once: stays in the second-level cache

EncodingSpec stored_spec(DType dtype) {
  EncodingSpec spec;
  spec.kind = traits(dtype).scalar() ? EncodingKind::Plain : EncodingKind::Ggml;
  spec.dtype = dtype;
  return spec;
}

struct Rows {
  QuantizeJob& job;
  const PlannedTensor& tensor;
  const TensorInfo& info;
  const RowCodec &from, &to;
  const float* importance;
  bool same_type;

  void first_bad(const float* w, int64_t index, int64_t row) const {
    throw input_error("quantize", tensor.module, "has the value {} at row {} column {}; the model is damaged (--allow-nonfinite makes such weights 0)",
                      w[index], row + index / tensor.K, index % tensor.K);
  }

  // One tile: w is what the source holds, q what the output will be read as.
  SquareSums tile(const std::byte* raw, int64_t row, int64_t rows, float* w, float* q, std::byte* out) const {
    const int64_t n = rows * tensor.K;
    from.decode(raw, rows, tensor.K, w);
    const int64_t bad = first_nonfinite(w, n);
    if (bad >= 0 && !job.options.allow_nonfinite) first_bad(w, bad, row);
    const bool repaired = bad >= 0;
    if (repaired)
      for (int64_t i = bad; i < n; ++i)
        if (!std::isfinite(w[i])) w[i] = 0;
    if (same_type && !repaired) {
      std::memcpy(out, raw, to.row_bytes(tensor.K) * size_t(rows));
      return {0, square_sums(w, w, n).original};
    }
    to.encode(w, importance, rows, tensor.K, out);
    to.decode(out, rows, tensor.K, q);
    if (first_nonfinite(q, n) >= 0)
      throw input_error("write", tensor.module, "has values beyond what {} can hold; choose bf16 or f32", name_of(tensor.encoding.dtype));
    return square_sums(w, q, n);
  }

  // The same on a lane of a GPU; the thread reads and writes while other lanes compute.
  SquareSums device_piece(int64_t begin, int64_t rows) const {
    job.context.check_interrupted();
    struct Turn {
      DeviceLanes& lanes;
      std::unique_ptr<DeviceRows> lane = lanes.take();
      ~Turn() { lanes.give(std::move(lane)); }
    } turn{*job.lanes};
    const uint64_t in_bytes = from.row_bytes(tensor.K), out_bytes = to.row_bytes(tensor.K);
    const std::span<std::byte> in(turn.lane->input(), size_t(rows) * in_bytes);
    job.source.read(info, in, uint64_t(begin) * in_bytes);
    const auto result = turn.lane->encode(info.dtype, tensor.encoding.dtype, importance, rows, tensor.K);
    if (result.first_bad >= 0 && !job.options.allow_nonfinite) {
      std::vector<float> w(static_cast<size_t>(tensor.K));
      const int64_t row = result.first_bad / tensor.K;
      from.decode(in.data() + uint64_t(row) * in_bytes, 1, tensor.K, w.data());
      first_bad(w.data(), result.first_bad % tensor.K, begin + row);
    }
    job.output.put_rows(tensor, begin, std::span(turn.lane->output(), size_t(rows) * out_bytes));
    return result.sums;
  }

  SquareSums piece(int64_t begin, int64_t rows) const {
    job.context.check_interrupted();
    const uint64_t in_bytes = from.row_bytes(tensor.K), out_bytes = to.row_bytes(tensor.K);
    const int64_t step = std::max<int64_t>(1, kTileElements / tensor.K);
    thread_local std::vector<std::byte> raw, out;
    thread_local std::vector<float> w, q;
    raw.resize(in_bytes * size_t(rows)), out.resize(out_bytes * size_t(rows));
    w.resize(size_t(step * tensor.K)), q.resize(size_t(step * tensor.K));
    job.source.read(info, raw, uint64_t(begin) * in_bytes);
    SquareSums sums;
    for (int64_t at = 0; at < rows; at += step) {
      const auto part = tile(raw.data() + uint64_t(at) * in_bytes, begin + at, std::min(step, rows - at), w.data(), q.data(), out.data() + uint64_t(at) * out_bytes);
      sums.difference += part.difference, sums.original += part.original;
    }
    job.output.put_rows(tensor, begin, out);
    return sums;
  }
};

// The stored form of the weight, when it is one tensor in canonical row order.
const TensorInfo* whole_weight(const QuantizeJob& job, const PlannedTensor& tensor) {
  const auto* info = job.loader.stored(tensor.module);
  return info && info->shape == std::vector<int64_t>{tensor.N, tensor.K} ? info : nullptr;
}

}  // namespace

bool write_in_rows(QuantizeJob& job, const PlannedTensor& tensor) {
  const auto to = make_row_codec(tensor.encoding);
  const auto* info = whole_weight(job, tensor);
  if (!to || !info || job.output.reorders_rows(tensor)) return false;
  const auto from = make_row_codec(stored_spec(info->dtype));
  if (!from) return false;
  const auto found = job.importance.find(tensor.module);
  const Tensor importance = found == job.importance.end() || !tensor.importance ? Tensor() : found->second.to(at::kCPU, at::kFloat).contiguous();
  TEENY_ASSERT(!importance.defined() || importance.numel() == tensor.K);
  const Rows rows{job, tensor, *info, *from, *to, importance.defined() ? importance.const_data_ptr<float>() : nullptr, info->dtype == tensor.encoding.dtype};
  const bool on_device = job.lanes && DeviceRows::supports(stored_spec(info->dtype), tensor.encoding) && tensor.K <= job.lanes->elements();
  const int64_t step = std::max<int64_t>(1, (on_device ? job.lanes->elements() : kPieceElements) / tensor.K), pieces = (tensor.N + step - 1) / step;
  std::vector<SquareSums> sums(static_cast<size_t>(pieces));
  parallel_for(sums.size(), on_device ? std::max(job.context.thread_count(), kLeastLanes) : job.context.thread_count(), [&](size_t i) {
    const int64_t begin = int64_t(i) * step, count = std::min(step, tensor.N - begin);
    sums[i] = on_device ? rows.device_piece(begin, count) : rows.piece(begin, count);
  });
  ErrorSum error;
  for (const auto& part : sums) error.difference += part.difference, error.original += part.original;
  job.record(tensor, error);
  return true;
}

}  // namespace teeny
