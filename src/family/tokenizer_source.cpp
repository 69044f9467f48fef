#include "teeny/family/tokenizer_source.h"

#include <algorithm>

#include "family/family.h"
#include "family/fields.h"
#include "family/gguf_vocabulary.h"
#include "teeny/core/error.h"

namespace teeny {
namespace {
constexpr const char* kWhere = "tokenizer";
Json read_optional(const std::string& directory, const char* name) {
  const auto path = path_join(directory, name);
  if (!path_exists(path)) return Json();
  Json json = read_json_file(path, kWhere, 64 << 20);
  if (!json.is_object()) throw input_error(kWhere, path, "is not a JSON object");
  return json;
}

// "eos_token": "<|im_end|>" or {"content": "<|im_end|>", ...}; empty when null or absent.
std::string token_text(const Json& config, const char* key) {
  if (!config.is_object()) return {};
  const auto at = config.find(key);
  if (at == config.end()) return {};
  if (at->is_string()) return at->get<std::string>();
  if (at->is_object() && at->contains("content") && (*at)["content"].is_string()) return (*at)["content"].get<std::string>();
  return {};
}

// First non-negative token id of config.json[key], a number or a list.
int32_t config_id(const Json& config, const char* key) {
  if (!config.is_object()) return -1;
  const auto at = config.find(key);
  if (at == config.end()) return -1;
  const auto id = natural(at->is_array() && !at->empty() ? (*at)[0] : *at);
  return id && *id < kMaxVocab ? int32_t(*id) : -1;
}

BpeData read_hf(const TensorSource& source, std::string& subject) {
  const auto directory = companion_directory(source);
  subject = path_join(directory, "tokenizer.json");
  if (!path_exists(subject)) throw input_error(kWhere, subject, "is absent; copy the model's tokenizer.json beside its weights");
  BpeData data = read_tokenizer_json(read_json_file(subject, kWhere), subject);
  const Json config = read_optional(directory, "tokenizer_config.json");
  const auto fill = [&](int32_t& id, const char* token_key, const char* id_key) {
    if (id >= 0) return;
    if (const auto text = token_text(config, token_key); !text.empty()) {
      const auto at = std::find(data.tokens.begin(), data.tokens.end(), text);
      if (at != data.tokens.end()) id = int32_t(at - data.tokens.begin());
    }
    if (id < 0) id = config_id(source.config(), id_key);
    if (size_t(id) >= data.tokens.size()) id = -1;
  };
  fill(data.bos, "bos_token", "bos_token_id");
  fill(data.eos, "eos_token", "eos_token_id");
  fill(data.pad, "pad_token", "pad_token_id");
  return data;
}

std::vector<std::pair<std::string, std::string>> templates_of_config(const Json& config, const std::string& subject) {
  std::vector<std::pair<std::string, std::string>> out;
  const auto at = config.is_object() ? config.find("chat_template") : config.end();
  if (!config.is_object() || at == config.end() || at->is_null()) return out;
  if (at->is_string()) return {{"default", at->get<std::string>()}};
  if (!at->is_array()) throw input_error(kWhere, subject, "chat_template is neither a string nor a list");
  for (const auto& item : *at) {
    const Fields fields(item, kWhere, subject + ":chat_template");
    const auto name = fields.string("name"), text = fields.string("template");
    if (!name || !text) throw input_error(kWhere, subject, "an entry of chat_template lacks \"name\" or \"template\"");
    out.emplace_back(*name, *text);
  }
  std::stable_partition(out.begin(), out.end(), [](const auto& entry) { return entry.first == "default"; });
  return out;
}

void write_templates(const TensorSource& source, GgufMetadata& metadata) {
  std::vector<std::string> names;
  for (const auto& [name, text] : read_chat_templates(source)) {
    if (name == "default") {
      metadata.set_string("tokenizer.chat_template", text);
    } else {
      metadata.set_string("tokenizer.chat_template." + name, text);
      names.push_back(name);
    }
  }
  if (!names.empty()) metadata.set_strings("tokenizer.chat_templates", std::move(names));
}
}  // namespace

std::shared_ptr<Tokenizer> load_tokenizer(const TensorSource& source) {
  std::string subject = source.path();
  BpeData data = source.gguf() ? read_gguf_vocabulary(*source.gguf(), subject) : read_hf(source, subject);
  return make_tokenizer(std::move(data), subject);
}

std::vector<std::pair<std::string, std::string>> read_chat_templates(const TensorSource& source) {
  std::vector<std::pair<std::string, std::string>> out;
  if (const auto* metadata = source.gguf()) {
    if (auto text = metadata->string("tokenizer.chat_template")) out.emplace_back("default", std::move(*text));
    if (const auto* names = metadata->strings("tokenizer.chat_templates"))
      for (const auto& name : *names)
        if (auto text = metadata->string("tokenizer.chat_template." + name)) out.emplace_back(name, std::move(*text));
    return out;
  }
  const auto directory = companion_directory(source), jinja = path_join(directory, "chat_template.jinja");
  if (path_exists(jinja)) return {{"default", read_file(jinja, 16 << 20)}};
  return templates_of_config(read_optional(directory, "tokenizer_config.json"), path_join(directory, "tokenizer_config.json"));
}

void write_gguf_vocabulary(const TensorSource& source, const ModelSpec& spec, GgufMetadata& metadata) {
  if (const auto* from = source.gguf()) {
    for (const auto& [key, value] : from->entries())
      if (key.starts_with("tokenizer.")) metadata.set(key, value);
    return;
  }
  std::string subject;
  const BpeData data = read_hf(source, subject);
  write_gguf_tokens(data, spec, subject, metadata);
  write_templates(source, metadata);
}

}  // namespace teeny
