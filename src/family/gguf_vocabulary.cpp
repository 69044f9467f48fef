#include "family/gguf_vocabulary.h"

#include <algorithm>
#include <unordered_map>

#include "family/family.h"
#include "family/fields.h"
#include "teeny/core/error.h"

namespace teeny {
namespace {
constexpr const char* kWhere = "tokenizer";
constexpr const char* kOptionsKey = "tokenizer.teeny.options";
constexpr std::string_view kMarker = "\xe2\x96\x81";  // U+2581
enum TokenType : int64_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

struct PreName {
  const char* gguf;
  PreTokenizer pre;
  bool ignore_merges, add_bos;  // what llama.cpp couples with the name (llama-vocab.cpp)
};
// The first line that fits is the one that is written.
constexpr PreName kPreNames[] = {
    {"qwen2", PreTokenizer::Qwen2, false, false},    {"deepseek-r1-qwen", PreTokenizer::Qwen2, false, false},
    {"llama-bpe", PreTokenizer::Llama3, true, true}, {"llama-v3", PreTokenizer::Llama3, true, true},
    {"llama3", PreTokenizer::Llama3, true, true},    {"dbrx", PreTokenizer::Llama3, false, false},
    {"smaug-bpe", PreTokenizer::Llama3, false, false}, {"gpt-2", PreTokenizer::Gpt2, false, false},
    {"tekken", PreTokenizer::Tekken, true, true},    {"gpt-4o", PreTokenizer::Gpt4o, false, false},
    {"qwen35", PreTokenizer::Qwen35, false, false},  {"smollm", PreTokenizer::SmolLm, false, false},
    {"starcoder", PreTokenizer::SmolLm, false, false}, {"deepseek-v3", PreTokenizer::DeepSeek3, false, false},
};

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

// A space inside a part of a merge is written as U+0120 in GGUF, so the first space separates.
std::pair<std::string, std::string> split_merge(const std::string& line, const std::string& subject) {
  const auto space = line.find(' ', 1);
  if (line.empty() || space == line.npos || space + 1 == line.size())
    throw input_error(kWhere, subject, "tokenizer.ggml.merges holds \"{}\", expected two parts", printable(line));
  return {line.substr(0, space), line.substr(space + 1)};
}

bool is_byte_token(std::string_view token) {
  const auto hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'); };
  return token.size() == 6 && token.starts_with("<0x") && token[5] == '>' && hex(token[3]) && hex(token[4]);
}

// --- what GGUF has no key for ---------------------------------------------------------------------------------------

// Whether GGUF's type says that it is special: converters call all of this form control tokens.
bool is_control(const AddedToken& token) { return token.special || (token.content.starts_with("<|") && token.content.ends_with("|>")); }

Json flags_of(const AddedToken& token) {
  Json out = Json::array();
  if (is_control(token) && !token.special) out.push_back("not_special");
  if (token.single_word) out.push_back("single_word");
  if (token.lstrip) out.push_back("lstrip");
  if (token.rstrip) out.push_back("rstrip");
  if (token.normalized) out.push_back("normalized");
  return out;
}

// `plain` is what reading the other keys gives.
Json options_of(const BpeData& data, const BpeData& plain) {
  Json out = Json::object(), added = Json::object();
  if (data.nfc != plain.nfc) out["nfc"] = data.nfc;
  if (data.ignore_merges != plain.ignore_merges) out["ignore_merges"] = data.ignore_merges;
  if (data.metaspace) {
    out["metaspace"] = data.prefix == SpacePrefix::First ? "first" : data.prefix == SpacePrefix::Always ? "always" : "never";
    out["split_words"] = data.split_words;
  }
  if (data.decoder != plain.decoder) out["decoder"] = "metaspace";
  if (data.strip_space != plain.strip_space) out["strip_space"] = data.strip_space;
  if (data.byte_fallback != plain.byte_fallback) out["byte_fallback"] = data.byte_fallback;
  if (data.fuse_unk != plain.fuse_unk) out["fuse_unk"] = data.fuse_unk;
  for (const auto& token : data.added)
    if (Json flags = flags_of(token); !flags.empty()) added[std::to_string(token.id)] = std::move(flags);
  if (!added.empty()) out["added"] = std::move(added);
  return out;
}

void apply_options(const std::string& text, const std::string& subject, BpeData& data) {
  const Json options = parse_json(text, kWhere, subject + ":" + kOptionsKey);
  if (!options.is_object()) throw input_error(kWhere, subject, "{} is not a JSON object", kOptionsKey);
  const auto wrong = [&](const std::string& key) { return input_error(kWhere, subject, "{}: \"{}\" has a value that is not known", kOptionsKey, printable(key)); };
  const auto flag = [&](const char* key, bool& value) {
    if (!options.contains(key)) return;
    if (!options[key].is_boolean()) throw wrong(key);
    value = options[key].get<bool>();
  };
  flag("nfc", data.nfc), flag("ignore_merges", data.ignore_merges), flag("split_words", data.split_words), flag("strip_space", data.strip_space);
  flag("byte_fallback", data.byte_fallback), flag("fuse_unk", data.fuse_unk);
  if (options.contains("metaspace")) {
    const Json& scheme = options["metaspace"];
    if (data.alphabet != Alphabet::Characters) throw wrong("metaspace");
    if (scheme != "first" && scheme != "always" && scheme != "never") throw wrong("metaspace");
    data.metaspace = true;
    data.prefix = scheme == "first" ? SpacePrefix::First : scheme == "always" ? SpacePrefix::Always : SpacePrefix::Never;
  }
  if (options.contains("decoder")) {
    if (options["decoder"] != "metaspace" || data.alphabet != Alphabet::Characters) throw wrong("decoder");
    data.decoder = TokenDecoder::Metaspace;
  }
  if (!options.contains("added")) return;
  if (!options["added"].is_object()) throw wrong("added");
  for (const auto& [key, flags] : options["added"].items()) {
    const auto token = std::find_if(data.added.begin(), data.added.end(), [&id = key](const AddedToken& t) { return std::to_string(t.id) == id; });
    if (token == data.added.end() || !flags.is_array()) throw wrong("added");
    for (const Json& name : flags) {
      bool* const value = name == "single_word" ? &token->single_word : name == "lstrip" ? &token->lstrip : name == "rstrip" ? &token->rstrip
                          : name == "normalized" ? &token->normalized : nullptr;
      if (!value && name != "not_special") throw wrong("added");
      *(value ? value : &token->special) = value != nullptr;
    }
  }
}

// --- reading --------------------------------------------------------------------------------------------------------

void read_merges(const GgufMetadata& metadata, const std::string& subject, BpeData& data) {
  const auto* merges = metadata.strings("tokenizer.ggml.merges");
  if (!merges) throw input_error(kWhere, subject, "the key tokenizer.ggml.merges is absent");
  data.merges.reserve(merges->size());
  for (const auto& merge : *merges) data.merges.push_back(split_merge(merge, subject));
}

// GGUF does not say which added tokens the model's vocabulary has too: those of merges, and single bytes.
void find_model_tokens(BpeData& data) {
  std::unordered_map<std::string_view, AddedToken*> added;
  for (auto& token : data.added) {
    added.emplace(token.content, &token);
    const auto lead = static_cast<unsigned char>(token.content[0]);
    const size_t length = lead > ' ' && lead < 0x7F ? 1 : lead >= 0xC2 && lead < 0xE0 ? 2 : 0;  // of a character that stands for a byte
    token.in_model = token.content.size() == length;
  }
  for (const auto& [left, right] : data.merges)
    for (const std::string& part : {left, right, left + right})
      if (const auto at = added.find(part); at != added.end()) at->second->in_model = true;
}

// Byte-level BPE. True: llama.cpp adds BOS for this name when no key says.
bool read_bytes(const GgufMetadata& metadata, const std::string& subject, BpeData& data) {
  const auto pre = metadata.string("tokenizer.ggml.pre").value_or("default");
  const auto* line = std::find_if(std::begin(kPreNames), std::end(kPreNames), [&](const PreName& p) { return pre == p.gguf; });
  if (line == std::end(kPreNames)) {
    std::string names;
    for (const auto& known : kPreNames) names += (names.empty() ? "" : ", ") + std::string(known.gguf);
    throw input_error(kWhere, subject, "the pre-tokenizer \"{}\" is not supported; known: {}", printable(pre), names);
  }
  data.pre = line->pre;
  data.ignore_merges = line->ignore_merges;
  data.nfc = line->pre == PreTokenizer::Qwen2 || line->pre == PreTokenizer::Qwen35;  // GGUF does not say; every tokenizer.json of this kind does it
  data.prefix_space = line->pre == PreTokenizer::Gpt2 && metadata.boolean("tokenizer.ggml.add_space_prefix").value_or(false);
  read_merges(metadata, subject, data);
  find_model_tokens(data);
  return line->add_bos;
}

// SentencePiece's BPE: scores order the merges. Files that teeny writes have the merges too, which are exact.
void read_characters(const GgufMetadata& metadata, const std::string& subject, BpeData& data) {
  data.alphabet = Alphabet::Characters;
  data.pre = PreTokenizer::None;
  data.decoder = TokenDecoder::ByteFallback;
  data.strip_space = metadata.boolean("tokenizer.ggml.add_space_prefix").value_or(true);
  data.prefix = data.strip_space ? SpacePrefix::Part : SpacePrefix::Never;
  data.byte_fallback = data.fuse_unk = true;
  if (metadata.find("tokenizer.ggml.merges")) return read_merges(metadata, subject, data);
  const auto scores = metadata.numbers("tokenizer.ggml.scores");
  if (!scores) throw input_error(kWhere, subject, "the key tokenizer.ggml.scores is absent");
  data.scores.assign(scores->begin(), scores->end());
  if (data.scores.size() != data.tokens.size())
    throw input_error(kWhere, subject, "tokenizer.ggml.scores has {} entries, tokenizer.ggml.tokens {}", data.scores.size(), data.tokens.size());
}

// The text of a token type: what it is in the list of added tokens, and whether merges may give it.
void read_tokens(const GgufMetadata& metadata, const std::string& subject, bool characters, BpeData& data) {
  const auto* tokens = metadata.strings("tokenizer.ggml.tokens");
  if (!tokens) throw input_error(kWhere, subject, "the key tokenizer.ggml.tokens is absent");
  const auto types = metadata.integers("tokenizer.ggml.token_type").value_or(std::vector<int64_t>(tokens->size(), kNormal));
  if (types.size() != tokens->size())
    throw input_error(kWhere, subject, "tokenizer.ggml.token_type has {} entries, tokenizer.ggml.tokens {}", types.size(), tokens->size());
  data.tokens = *tokens;
  for (size_t id = 0; id < types.size(); ++id) {
    if (types[id] == kUnused) data.tokens[id].clear();
    const bool special = types[id] == kControl || (characters && types[id] == kUnknown);
    if ((special || types[id] == kUserDefined) && !data.tokens[id].empty())
      data.added.push_back({.id = int32_t(id), .content = (*tokens)[id], .special = special, .in_model = characters});
  }
  while (!data.tokens.empty() && data.tokens.back().empty()) data.tokens.pop_back();
}

// --- writing --------------------------------------------------------------------------------------------------------

std::vector<int64_t> write_types(const BpeData& data, int64_t vocab, const std::string& subject, GgufMetadata& metadata) {
  if (int64_t(data.tokens.size()) > vocab)
    throw input_error(kWhere, subject, "has {} tokens, the embedding has {} rows; the tokenizer belongs to another model", data.tokens.size(), vocab);
  std::vector<std::string> tokens = data.tokens;
  tokens.resize(size_t(vocab));
  std::vector<int64_t> types(size_t(vocab), kNormal);
  if (data.byte_fallback)
    for (size_t id = 0; id < tokens.size(); ++id)
      if (is_byte_token(tokens[id])) types[id] = kByte;
  for (const auto& added : data.added) {
    const bool control = is_control(added);
    types[size_t(added.id)] = control ? kControl : kUserDefined;
    if (!control) replace_all(tokens[size_t(added.id)], kMarker, " ");
  }
  if (data.unk >= 0) types[size_t(data.unk)] = kUnknown;
  for (size_t id = 0; id < tokens.size(); ++id)
    if (tokens[id].empty()) tokens[id] = fmt::format("[PAD{}]", id), types[id] = kUnused;
  metadata.set_strings("tokenizer.ggml.tokens", std::move(tokens));
  metadata.set_i32s("tokenizer.ggml.token_type", types);
  return types;
}

void write_merges(const BpeData& data, GgufMetadata& metadata) {
  std::vector<std::string> merges;
  merges.reserve(data.merges.size());
  for (auto [left, right] : data.merges) {
    replace_all(left, " ", "\xc4\xa0");
    replace_all(right, " ", "\xc4\xa0");
    merges.push_back(fmt::format("{} {}", left, right));
  }
  metadata.set_strings("tokenizer.ggml.merges", std::move(merges));
}

// The score of a token is minus the rank of the first merge that gives it; what no merge gives comes last.
std::vector<double> scores_of(const BpeData& data, int64_t vocab) {
  if (!data.scores.empty()) {
    std::vector<double> given(data.scores.begin(), data.scores.end());
    given.resize(size_t(vocab), -1e6);
    return given;
  }
  std::unordered_map<std::string_view, size_t> ids;
  for (size_t id = 0; id < data.tokens.size(); ++id) ids.emplace(data.tokens[id], id);
  std::vector<double> scores(size_t(vocab), -double(data.merges.size() + 1));
  for (size_t rank = data.merges.size(); rank-- > 0;) {
    const auto at = ids.find(data.merges[rank].first + data.merges[rank].second);
    if (at != ids.end()) scores[at->second] = -double(rank);
  }
  return scores;
}
}  // namespace

BpeData read_gguf_vocabulary(const GgufMetadata& metadata, const std::string& subject) {
  const auto model = metadata.string("tokenizer.ggml.model");
  if (!model) throw input_error(kWhere, subject, "the key tokenizer.ggml.model is absent; the file has no vocabulary");
  const bool characters = *model == "llama";
  if (!characters && *model != "gpt2")
    throw input_error(kWhere, subject, "the tokenizer model \"{}\" is not supported; known: gpt2 (byte-level BPE), llama (SentencePiece BPE)", printable(*model));
  BpeData data;
  read_tokens(metadata, subject, characters, data);
  bool add_bos = true;
  if (characters) {
    data.tokens.resize(metadata.strings("tokenizer.ggml.tokens")->size());
    read_characters(metadata, subject, data);
  } else {
    add_bos = read_bytes(metadata, subject, data);
  }
  const auto id_of = [&](const char* key, int32_t absent = -1) {
    const auto id = metadata.integer(key);
    if (id && (*id < 0 || size_t(*id) >= data.tokens.size())) throw input_error(kWhere, subject, "{} is {}, outside the vocabulary of {}", key, *id, data.tokens.size());
    return id ? int32_t(*id) : size_t(absent) < data.tokens.size() ? absent : -1;
  };
  data.bos = id_of("tokenizer.ggml.bos_token_id", characters ? 1 : -1);
  data.eos = id_of("tokenizer.ggml.eos_token_id", characters ? 2 : -1);
  data.pad = id_of("tokenizer.ggml.padding_token_id");
  if (characters) data.unk = id_of("tokenizer.ggml.unknown_token_id", 0);
  data.add_bos = metadata.boolean("tokenizer.ggml.add_bos_token").value_or(add_bos) && data.bos >= 0;
  data.add_eos = metadata.boolean("tokenizer.ggml.add_eos_token").value_or(false) && data.eos >= 0;
  if (const auto options = metadata.string(kOptionsKey)) apply_options(*options, subject, data);
  return data;
}

void write_gguf_tokens(const BpeData& data, const ModelSpec& spec, const std::string& subject, GgufMetadata& metadata) {
  const bool characters = data.alphabet == Alphabet::Characters;
  metadata.set_string("tokenizer.ggml.model", characters ? "llama" : "gpt2");
  const PreName* line = nullptr;
  for (const bool exact : {true, false})
    for (const auto& name : kPreNames)
      if (!line && name.pre == data.pre && (!exact || name.ignore_merges == data.ignore_merges)) line = &name;
  TEENY_ASSERT(line || characters);
  metadata.set_string("tokenizer.ggml.pre", characters ? "default" : line->gguf);
  write_types(data, spec.vocab, subject, metadata);
  if (characters) metadata.set_f32s("tokenizer.ggml.scores", scores_of(data, spec.vocab));
  if (data.scores.empty()) write_merges(data, metadata);
  const auto id = [&](const char* key, int64_t preferred, int64_t otherwise) {
    if (const int64_t value = preferred >= 0 ? preferred : otherwise; value >= 0) metadata.set_u32(key, uint32_t(value));
  };
  id("tokenizer.ggml.bos_token_id", data.bos, spec.bos);
  id("tokenizer.ggml.eos_token_id", data.eos, spec.eos.empty() ? -1 : spec.eos[0]);
  id("tokenizer.ggml.padding_token_id", data.pad, spec.pad);
  if (characters) id("tokenizer.ggml.unknown_token_id", data.unk, -1);
  metadata.set_bool("tokenizer.ggml.add_bos_token", data.add_bos);
  if (data.add_eos || characters) metadata.set_bool("tokenizer.ggml.add_eos_token", data.add_eos);
  if (characters) metadata.set_bool("tokenizer.ggml.add_space_prefix", data.prefix != SpacePrefix::Never);
  if (data.prefix_space) metadata.set_bool("tokenizer.ggml.add_space_prefix", true);
  const Json options = options_of(data, read_gguf_vocabulary(metadata, subject));
  if (!options.empty()) metadata.set_string(kOptionsKey, options.dump());
}

}  // namespace teeny
