#include "teeny/family/tokenizer_source.h"

#include <algorithm>

#include "family/family.h"
#include "family/fields.h"
#include "teeny/core/error.h"

namespace teeny {
namespace {
constexpr const char* kWhere = "tokenizer";
enum TokenType : int64_t { kNormal = 1, kControl = 3, kUserDefined = 4, kUnused = 5 };

struct PreName {
  const char* gguf;
  PreTokenizer pre;
  bool ignore_merges, add_bos;  // what llama.cpp couples with the name (llama-vocab.cpp)
};
// The first line of a kind is the one that is written.
constexpr PreName kPreNames[] = {
    {"qwen2", PreTokenizer::Qwen2, false, false},   {"deepseek-r1-qwen", PreTokenizer::Qwen2, false, false},
    {"llama-bpe", PreTokenizer::Llama3, true, true}, {"llama-v3", PreTokenizer::Llama3, true, true},
    {"llama3", PreTokenizer::Llama3, true, true},   {"gpt-2", PreTokenizer::Gpt2, false, false},
};

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

// A space inside a part of a merge is written as U+0120 in GGUF, so the first space separates.
std::pair<std::string, std::string> split_merge(const std::string& line, const std::string& subject) {
  const auto space = line.find(' ', 1);
  if (line.empty() || space == line.npos || space + 1 == line.size())
    throw input_error(kWhere, subject, "tokenizer.ggml.merges holds \"{}\", expected two parts", printable(line));
  return {line.substr(0, space), line.substr(space + 1)};
}

BpeData read_gguf(const GgufMetadata& metadata, const std::string& subject) {
  const auto model = metadata.string("tokenizer.ggml.model");
  if (!model) throw input_error(kWhere, subject, "the key tokenizer.ggml.model is absent; the file has no vocabulary");
  if (*model != "gpt2") throw input_error(kWhere, subject, "the tokenizer model \"{}\" is not supported; known: gpt2 (byte-level BPE)", printable(*model));
  const auto pre = metadata.string("tokenizer.ggml.pre").value_or("default");
  const auto* line = std::find_if(std::begin(kPreNames), std::end(kPreNames), [&](const PreName& p) { return pre == p.gguf; });
  if (line == std::end(kPreNames)) throw input_error(kWhere, subject, "the pre-tokenizer \"{}\" is not supported; known: qwen2, llama-bpe, gpt-2", printable(pre));
  const auto* tokens = metadata.strings("tokenizer.ggml.tokens");
  const auto* merges = metadata.strings("tokenizer.ggml.merges");
  if (!tokens || !merges) throw input_error(kWhere, subject, "the key tokenizer.ggml.{} is absent", tokens ? "merges" : "tokens");
  auto types = metadata.integers("tokenizer.ggml.token_type").value_or(std::vector<int64_t>(tokens->size(), kNormal));
  if (types.size() != tokens->size())
    throw input_error(kWhere, subject, "tokenizer.ggml.token_type has {} entries, tokenizer.ggml.tokens {}", types.size(), tokens->size());

  BpeData data;
  data.pre = line->pre;
  data.ignore_merges = line->ignore_merges;
  data.nfc = line->pre == PreTokenizer::Qwen2;  // GGUF does not say; every tokenizer.json of this kind does it
  data.tokens = *tokens;
  for (size_t id = 0; id < types.size(); ++id) {
    if (types[id] == kUnused) data.tokens[id].clear();
    if (types[id] == kControl || types[id] == kUserDefined) data.added.push_back({.id = int32_t(id), .content = (*tokens)[id], .special = types[id] == kControl});
  }
  while (!data.tokens.empty() && data.tokens.back().empty()) data.tokens.pop_back();
  data.merges.reserve(merges->size());
  for (const auto& merge : *merges) data.merges.push_back(split_merge(merge, subject));
  const auto id_of = [&](const char* key) {
    const auto id = metadata.integer(key);
    if (id && (*id < 0 || size_t(*id) >= data.tokens.size())) throw input_error(kWhere, subject, "{} is {}, outside the vocabulary of {}", key, *id, data.tokens.size());
    return int32_t(id.value_or(-1));
  };
  data.bos = id_of("tokenizer.ggml.bos_token_id");
  data.eos = id_of("tokenizer.ggml.eos_token_id");
  data.pad = id_of("tokenizer.ggml.padding_token_id");
  data.add_bos = metadata.boolean("tokenizer.ggml.add_bos_token").value_or(line->add_bos) && data.bos >= 0;
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

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  std::string out;
  for (size_t begin = 0;;) {
    const auto at = text.find(from, begin);
    out.append(text, begin, at == text.npos ? at : at - begin);
    if (at == text.npos) break;
    out += to;
    begin = at + from.size();
  }
  text = std::move(out);
}

void write_tokens(const BpeData& data, int64_t vocab, const std::string& subject, GgufMetadata& metadata) {
  if (int64_t(data.tokens.size()) > vocab)
    throw input_error(kWhere, subject, "has {} tokens, the embedding has {} rows; the tokenizer belongs to another model", data.tokens.size(), vocab);
  std::vector<std::string> tokens = data.tokens;
  tokens.resize(size_t(vocab));
  std::vector<int64_t> types(size_t(vocab), kNormal);
  for (const auto& added : data.added) {
    const bool control = added.special || (added.content.starts_with("<|") && added.content.ends_with("|>"));
    types[size_t(added.id)] = control ? kControl : kUserDefined;
    tokens[size_t(added.id)] = added.content;
    if (!control) replace_all(tokens[size_t(added.id)], "\xe2\x96\x81", " ");
  }
  for (size_t id = 0; id < tokens.size(); ++id)
    if (tokens[id].empty()) tokens[id] = fmt::format("[PAD{}]", id), types[id] = kUnused;
  metadata.set_strings("tokenizer.ggml.tokens", std::move(tokens));
  metadata.set_i32s("tokenizer.ggml.token_type", std::move(types));
  std::vector<std::string> merges;
  merges.reserve(data.merges.size());
  for (auto [left, right] : data.merges) {
    replace_all(left, " ", "\xc4\xa0");
    replace_all(right, " ", "\xc4\xa0");
    merges.push_back(fmt::format("{} {}", left, right));
  }
  metadata.set_strings("tokenizer.ggml.merges", std::move(merges));
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
  BpeData data = source.gguf() ? read_gguf(*source.gguf(), subject) : read_hf(source, subject);
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
  const auto* line = std::find_if(std::begin(kPreNames), std::end(kPreNames), [&](const PreName& p) { return data.pre == p.pre; });
  TEENY_ASSERT(line != std::end(kPreNames));
  metadata.set_string("tokenizer.ggml.model", "gpt2");
  metadata.set_string("tokenizer.ggml.pre", line->gguf);
  write_tokens(data, spec.vocab, subject, metadata);
  const auto id = [&](const char* key, int64_t preferred, int64_t otherwise) {
    if (const int64_t value = preferred >= 0 ? preferred : otherwise; value >= 0) metadata.set_u32(key, uint32_t(value));
  };
  id("tokenizer.ggml.bos_token_id", data.bos, spec.bos);
  id("tokenizer.ggml.eos_token_id", data.eos, spec.eos.empty() ? -1 : spec.eos[0]);
  id("tokenizer.ggml.padding_token_id", data.pad, spec.pad);
  metadata.set_bool("tokenizer.ggml.add_bos_token", data.add_bos);
  write_templates(source, metadata);
}

}  // namespace teeny
