// The parts of tokenizer.json around the model: recognised by name and pattern, or refused by name.
#pragma once
#include "teeny/text/tokenizer.h"
#include "text/json_fields.h"

namespace teeny {

// Normalizer, pre-tokenizer and decoder: they also decide which alphabet it is. Needs no vocabulary.
void read_text_parts(const Json& root, const JsonFields& fields, BpeData& data);
// Needs data.tokens.
void read_post_processor(const Json& post, const JsonFields& fields, BpeData& data);

}  // namespace teeny
