// GGML's blocks row by row: the search, the packing and the decoding of ggml.cpp without tensors between them.
#include <vector>

#include "encodings/ggml/isa.h"
#include "encodings/registry.h"
#include "teeny/encodings/row_codec.h"

namespace teeny {
namespace {

class GgmlRows final : public RowCodec {
 public:
  explicit GgmlRows(const ggml::GgmlType& type) : type_(type), kernels_(ggml::kernels_of(type.dtype)) {}

  uint64_t row_bytes(int64_t K) const override { return uint64_t(K / type_.block * type_.bytes); }

  void decode(const std::byte* stored, int64_t rows, int64_t K, float* w) const override {
    kernels_.decode(reinterpret_cast<const uint8_t*>(stored), rows * (K / type_.block), w);
  }

  void encode(const float* w, const float* importance, int64_t rows, int64_t K, std::byte* stored) const override {
    const auto blocks = size_t(rows * (K / type_.block)), subs = blocks * size_t(type_.subs());
    std::vector<uint8_t> codes(size_t(rows * K));
    std::vector<uint16_t> d(blocks), m(type_.min ? blocks : 0);
    std::vector<int8_t> sc(type_.subs() > 1 ? subs : 0), mn(type_.subs() > 1 && type_.min ? subs : 0);
    const ggml::Blocks out{rows, K, codes.data(), d.data(), m.empty() ? nullptr : m.data(), sc.empty() ? nullptr : sc.data(), mn.empty() ? nullptr : mn.data()};
    kernels_.quantize(w, importance, out);
    kernels_.pack(out, reinterpret_cast<uint8_t*>(stored));
  }

 private:
  const ggml::GgmlType& type_;
  const ggml::TypeKernels& kernels_;
};

}  // namespace

std::unique_ptr<RowCodec> make_ggml_rows(const EncodingSpec& spec) {
  for (const auto& type : ggml::all_types())
    if (type.dtype == spec.dtype) return std::make_unique<GgmlRows>(type);
  return nullptr;
}

}  // namespace teeny
