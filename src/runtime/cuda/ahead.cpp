#include "runtime/cuda/ahead.h"

#include <algorithm>

#include <c10/core/impl/VirtualGuardImpl.h>

#include "teeny/core/error.h"

namespace teeny {
namespace {

constexpr Place kPlaces[] = {Place::Qkv, Place::O, Place::GateUp, Place::Down};

c10::Stream pool_stream(at::Device device, bool high_priority) { return c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device, high_priority); }

// The buffer as (N, K).
Tensor weight_rows(const Tensor& values, const Projection& p) { return values.narrow(0, 0, p.N * p.K).view({p.N, p.K}); }

cudaStream_t raw(const c10::Stream& stream) { return static_cast<cudaStream_t>(stream.native_handle()); }

}  // namespace

AheadDecoder::AheadDecoder(const GpuModel& model) : model_(model), products_(pool_stream(model.device, true)), decoding_(pool_stream(model.device, false)) {}

AheadDecoder::~AheadDecoder() {
  try {
    decoding_.synchronize();
  } catch (const std::exception&) {  // the device's error was thrown where it mattered
  }
}

const Projection& AheadDecoder::projection(const GpuLayer& layer, Place place) {
  switch (place) {
    case Place::Qkv: return layer.qkv;
    case Place::O: return layer.o;
    case Place::GateUp: return layer.gate_up;
    case Place::Down: break;
  }
  return layer.down;
}

bool AheadDecoder::takes(const Projection& p) {
  return !p.multiplies_large() && std::all_of(p.weights.begin(), p.weights.end(), [](const PackedWeight& w) { return w.act_bits == 16; });
}

cudaStream_t AheadDecoder::raw_products() const { return raw(products_); }

void AheadDecoder::start() {
  for (const Place place : kPlaces) {
    int64_t values = 0;
    for (const auto& layer : model_.layers)
      if (const auto& p = projection(layer, place); takes(p)) values = std::max(values, p.N * p.K);
    Tensor& buffer = buffers_[size_t(place)].values;
    if (!buffer.defined() && values > 0) buffer = at::empty({values}, at::TensorOptions().dtype(at::kHalf).device(model_.device));
  }
  c10::Event begun{at::kCUDA};  // the buffers' memory is free of what used it before
  begun.record(products_);
  begun.block(decoding_);
  if (model_.layers.empty()) return;
  for (const Place place : kPlaces) decode(0, place);
}

void AheadDecoder::decode(size_t layer, Place place) {
  const Projection& p = projection(model_.layers[layer], place);
  if (!takes(p)) return;
  Buffer& buffer = buffers_[size_t(place)];
  buffer.free.block(decoding_);
  const Tensor rows = weight_rows(buffer.values, p);
  int64_t row = 0;
  for (const auto& w : p.weights)
    for (size_t i = 0; i < w.parts.size(); ++i) {
      w.unpack(i, 0, w.parts[i].rows, rows.narrow(0, row, w.parts[i].rows), raw(decoding_));
      row += w.parts[i].rows;
    }
  TEENY_ASSERT(row == p.N);
  buffer.ready.record(decoding_);
}

Tensor AheadDecoder::weight(const Projection& p, Place place) const {
  const Buffer& buffer = buffers_[size_t(place)];
  buffer.ready.block(products_);
  return weight_rows(buffer.values, p);
}

void AheadDecoder::done(size_t layer, Place place) {
  buffers_[size_t(place)].free.record(products_);
  if (layer + 1 < model_.layers.size()) decode(layer + 1, place);
}

}  // namespace teeny
