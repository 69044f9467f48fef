// The tokenizer and the chat template that belong to a model, from whichever container it is in.
#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "teeny/containers/source.h"
#include "teeny/family/spec.h"
#include "teeny/text/tokenizer.h"

namespace teeny {

// tokenizer.json of the directory, or a GGUF file's vocabulary. bos, eos and pad are filled from tokenizer_config.json and
// config.json. Input error when there is none, or one that teeny would not tokenize with exactly as its makers do.
std::shared_ptr<Tokenizer> load_tokenizer(const TensorSource& source);

// (name, Jinja text), "default" first: chat_template.jinja, else tokenizer_config.json; GGUF's tokenizer.chat_template.
std::vector<std::pair<std::string, std::string>> read_chat_templates(const TensorSource& source);
std::shared_ptr<ChatTemplate> load_chat_template(const TensorSource& source);  // nullptr: the model has none

// The keys of formats.md section 6.3. From GGUF the keys are copied; from tokenizer.json tokens become exactly spec.vocab long.
void write_gguf_vocabulary(const TensorSource& source, const ModelSpec& spec, GgufMetadata& metadata);

}  // namespace teeny
