// What each folder of encodings/ offers to the table in registry.cpp.
#pragma once
#include "teeny/encodings/encoding.h"
#include "teeny/encodings/row_codec.h"

namespace teeny {

std::shared_ptr<const Encoding> make_ggml(const EncodingSpec& spec);
std::vector<EncodingSpec> ggml_examples();
std::unique_ptr<RowCodec> make_ggml_rows(const EncodingSpec& spec);
std::unique_ptr<RowCodec> make_plain_rows(const EncodingSpec& spec);
std::shared_ptr<const Encoding> make_gptq(const EncodingSpec& spec);
std::vector<EncodingSpec> gptq_examples();
std::shared_ptr<const Encoding> make_awq(const EncodingSpec& spec);
std::vector<EncodingSpec> awq_examples();
std::shared_ptr<const Encoding> make_bnb_int8(const EncodingSpec& spec);
std::vector<EncodingSpec> bnb_int8_examples();
std::shared_ptr<const Encoding> make_bnb_4bit(const EncodingSpec& spec);
std::vector<EncodingSpec> bnb_nf4_examples();
std::vector<EncodingSpec> bnb_fp4_examples();
std::shared_ptr<const Encoding> make_ct_packed(const EncodingSpec& spec);
std::vector<EncodingSpec> ct_packed_examples();
std::shared_ptr<const Encoding> make_ct_int(const EncodingSpec& spec);
std::vector<EncodingSpec> ct_int_examples();

}  // namespace teeny
