// Tensors that need nothing but themselves.
#include <cmath>

#include "pipeline/rows.h"
#include "teeny/core/error.h"
#include "teeny/runtime/device.h"

namespace teeny {
namespace {

FitOptions fit_options(const QuantizeJob& job, const PlannedTensor& tensor) {
  FitOptions fit;
  fit.exact_llama_cpp = job.options.exact_llama_cpp;
  if (const auto found = job.importance.find(tensor.module); found != job.importance.end() && tensor.importance) fit.importance = found->second, fit.mse = true;
  return fit;
}

// Encoded values of w, and what they decode to (for the error).
QuantTensor encode(const Tensor& w, const PlannedTensor& tensor, const FitOptions& fit) {
  const auto encoding = make_encoding(tensor.encoding);
  const auto [levels, grid] = encoding->quantize(w, fit);
  return encoding->pack(levels, grid);
}

// The whole weight in f32, on the GPU when one is to quantize it.
Tensor load_weight(QuantizeJob& job, const PlannedTensor& tensor) {
  const Weight weight = job.loader.linear(tensor.module, tensor.N, tensor.K);
  const auto* plain = std::get_if<Tensor>(&weight);
  if (!job.lanes || tensor.encoding.kind == EncodingKind::Plain) return decode(weight);
  const at::Device device = open_device(job.context);
  return plain ? plain->to(device).to(at::kFloat) : decode(weight).to(device);
}

void write_whole(QuantizeJob& job, const PlannedTensor& tensor) {
  Tensor w = load_weight(job, tensor);
  require_finite(w, tensor.module, job.options.allow_nonfinite);
  ErrorSum error;
  if (tensor.encoding.kind == EncodingKind::Plain) {
    job.output.put_plain(tensor, w);
    error.add(w, w.to(scalar_type(tensor.encoding.dtype)).to(at::kFloat));
  } else {
    const QuantTensor packed = encode(w, tensor, fit_options(job, tensor));
    error.add(w, decode(Weight(packed)));
    job.output.put(tensor, packed);
  }
  job.record(tensor, error);
}

bool same_bits(const Tensor& a, const Tensor& b) {
  if (a.defined() != b.defined()) return false;
  return !a.defined() || a.contiguous().view(at::kInt).equal(b.contiguous().view(at::kInt));
}

// Codes and grid of the source in another layout. What is written must decode to the same bits, which follows when codes,
// scales, zero points and groups are the same numbers.
void write_recoded(QuantizeJob& job, const PlannedTensor& tensor) {
  const Weight weight = job.loader.linear(tensor.module, tensor.N, tensor.K);
  const auto& from = std::get<QuantTensor>(weight);
  Quantized source = make_encoding(from.spec)->unpack(from);
  require_finite(source.grid.scale, tensor.module, false);
  const auto target = make_encoding(tensor.encoding);
  const QuantTensor packed = target->pack(source.levels, source.grid);
  const Quantized stored = target->unpack(packed);
  if (!same_bits(stored.grid.scale, source.grid.scale))
    throw input_error("convert", tensor.module, "its scales are {} that {} cannot hold exactly; use --format compressed-tensors, which keeps their type", name_of(from.spec.scale_dtype),
                      name_of(tensor.encoding.scale_dtype));
  const bool same_groups = stored.grid.group == source.grid.group && stored.grid.g_idx.defined() == source.grid.g_idx.defined() &&
                           (!stored.grid.g_idx.defined() || stored.grid.g_idx.equal(source.grid.g_idx));
  if (!stored.levels.q.equal(source.levels.q) || !same_bits(stored.grid.zero, source.grid.zero) || !same_groups)
    throw Error(ErrorKind::Bug, "convert", tensor.module, fmt::format("{} as {} would not decode to the same values", from.spec.name(), tensor.encoding.name()));
  job.output.put(tensor, packed);
  ErrorSum none;
  none.add(source.grid.scale, stored.grid.scale);
  job.record(tensor, none);
}

}  // namespace

void QuantizeJob::record(const PlannedTensor& tensor, const ErrorSum& error, Json extra) {
  const double sqnr = error.sqnr_db();
  Json row = {{"name", tensor.module},
              {"encoding", tensor.encoding.name()},
              {"bytes", tensor.bytes},
              {"relative_error", error.relative()},
              {"sqnr_db", std::isfinite(sqnr) ? Json(sqnr) : Json()},
              {"shape", {tensor.N, tensor.K}},
              {"method", tensor.method},
              {"parameters", tensor.N * tensor.K}};
  if (!tensor.note.empty()) {
    row["note"] = tensor.note;
    fallbacks.push_back({{"name", tensor.module}, {"reason", tensor.note}, {"encoding", tensor.encoding.name()}});
  }
  row.update(extra);
  tensors.push_back(std::move(row));
}

void write_direct(QuantizeJob& job, const PlannedTensor& tensor) {
  PhaseTimer timer(job, "encode");
  if (tensor.module == kRopeFreqs) {
    job.output.put_plain(tensor, at::tensor(job.plan.spec.rope_freq_factors, at::kFloat));
    return;
  }
  if (!tensor.weight) {
    const bool bias = tensor.module.ends_with(".bias");
    const auto module = tensor.module.substr(0, tensor.module.size() - (bias ? 5 : 0));
    Tensor values = bias ? job.loader.bias(module, tensor.N).value() : job.loader.vector(tensor.module, tensor.N);
    require_finite(values, tensor.module, job.options.allow_nonfinite);
    job.output.put_plain(tensor, values);
    return;
  }
  const size_t before = job.tensors.size();
  const auto start = std::chrono::steady_clock::now();
  if (tensor.method == "recode")
    write_recoded(job, tensor);
  else if (!write_in_rows(job, tensor))
    write_whole(job, tensor);
  for (size_t i = before; i < job.tensors.size(); ++i) job.tensors[i]["seconds"] = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace teeny
