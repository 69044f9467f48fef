#include "pipeline/embed.h"

#include <algorithm>

#include "teeny/core/error.h"
#include "teeny/encodings/encoding.h"

namespace teeny {

HiddenStates embed_windows(const TensorSource& source, const WeightLoader& loader, const ModelSpec& spec, const Windows& windows, const std::string& subject,
                           const Place& place) {
  const auto* info = source.kind() == ContainerKind::Safetensors ? source.find(kEmbedding) : nullptr;
  const bool rows_on_demand = info && traits(info->dtype).scalar() && info->shape == std::vector<int64_t>{spec.vocab, spec.hidden};
  Tensor table;
  if (!rows_on_demand) table = decode(loader.linear("model.embed_tokens", spec.vocab, spec.hidden));
  HiddenStates hidden;
  for (const auto& window : windows) {
    const int64_t T = int64_t(window.size());
    for (const int32_t token : window)
      if (token < 0 || token >= spec.vocab) throw input_error("calibration", subject, "token {} is outside the vocabulary of {}", token, spec.vocab);
    if (rows_on_demand) {
      Tensor rows = at::empty({T, spec.hidden}, scalar_type(info->dtype));
      auto* out = static_cast<std::byte*>(rows.mutable_data_ptr());
      const uint64_t width = rows.nbytes() / uint64_t(T);
      for (int64_t t = 0; t < T; ++t) source.read(*info, std::span(out + uint64_t(t) * width, width), uint64_t(window[size_t(t)]) * width);
      hidden.push_back(rows.to(place.gpu() ? place.dtype : at::kFloat).unsqueeze(0));
    } else {
      hidden.push_back(table.index_select(0, at::tensor(window, at::kInt).to(at::kLong)).to(at::kFloat).unsqueeze(0));
    }
  }
  return gather(std::move(hidden), place);
}

int64_t longest(const Windows& windows) {
  size_t n = 1;
  for (const auto& window : windows) n = std::max(n, window.size());
  return int64_t(n);
}

}  // namespace teeny
