// A BPE vocabulary as keys of a GGUF file: tokenizer.ggml.*
#pragma once
#include <string>

#include "teeny/containers/source.h"
#include "teeny/family/spec.h"
#include "teeny/text/tokenizer.h"

namespace teeny {

// What llama.cpp would tokenize with, except where tokenizer.teeny.options (which llama.cpp does not know) says more.
BpeData read_gguf_vocabulary(const GgufMetadata& metadata, const std::string& subject);
// Tokens become exactly spec.vocab long; ids that the tokenizer does not name come from the spec.
void write_gguf_tokens(const BpeData& data, const ModelSpec& spec, const std::string& subject, GgufMetadata& metadata);

}  // namespace teeny
