// The table of encodings: one line each.
#include "encodings/registry.h"

#include "teeny/core/error.h"

namespace teeny {
namespace {

struct Entry {
  EncodingKind kind;
  std::shared_ptr<const Encoding> (*make)(const EncodingSpec&);  // nullptr result: not this spec
  std::vector<EncodingSpec> (*examples)();
};

constexpr Entry kEncodings[] = {
    {EncodingKind::Ggml, make_ggml, ggml_examples},
    {EncodingKind::Gptq, make_gptq, gptq_examples},
    {EncodingKind::Awq, make_awq, awq_examples},
    {EncodingKind::BnbInt8, make_bnb_int8, bnb_int8_examples},
    {EncodingKind::BnbNf4, make_bnb_4bit, bnb_nf4_examples},
    {EncodingKind::BnbFp4, make_bnb_4bit, bnb_fp4_examples},
    {EncodingKind::CtPacked, make_ct_packed, ct_packed_examples},
    {EncodingKind::CtInt, make_ct_int, ct_int_examples},
};

}  // namespace

std::shared_ptr<const Encoding> make_encoding(const EncodingSpec& spec) {
  for (const auto& entry : kEncodings)
    if (entry.kind == spec.kind)
      if (auto encoding = entry.make(spec)) return encoding;
  throw input_error("encoding", spec.name(), "is not implemented; see `teeny quantize --help` for the types and bits that are");
}

std::unique_ptr<RowCodec> make_row_codec(const EncodingSpec& spec) {
  if (spec.kind == EncodingKind::Plain) return make_plain_rows(spec);
  if (spec.kind == EncodingKind::Ggml) return make_ggml_rows(spec);
  return nullptr;
}

std::vector<EncodingSpec> conformance_specs() {
  std::vector<EncodingSpec> all;
  for (const auto& entry : kEncodings)
    for (const auto& spec : entry.examples()) all.push_back(spec);
  return all;
}

}  // namespace teeny
