// Canonical (Hugging Face) tensor names <-> GGUF's, and the metadata that a GGUF file needs to be loaded.
#pragma once
#include <optional>
#include <string>

#include "teeny/family/spec.h"

namespace teeny {

std::optional<std::string> to_gguf_name(const std::string& canonical);   // "model.layers.0.mlp.up_proj.weight" -> "blk.0.ffn_up.weight"
std::optional<std::string> from_gguf_name(const std::string& gguf);
// Row order of q_proj / k_proj (weight and bias) in GGUF files of arch "llama": result[i] is the canonical row stored
// at GGUF row i. Empty when the family stores rows as they are.
std::vector<int64_t> gguf_row_order(const ModelSpec& spec, std::string_view module);
// The model keys of formats.md section 6.1 (not the vocabulary).
void write_gguf_model_keys(const ModelSpec& spec, GgufMetadata& metadata);
// A Hugging Face config.json for a model that came from GGUF, so that it can be converted back.
Json hf_config_from_spec(const ModelSpec& spec);

}  // namespace teeny
