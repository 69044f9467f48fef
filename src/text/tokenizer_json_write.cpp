// BpeData -> tokenizer.json: the inverse of read_tokenizer_json.
#include <algorithm>
#include <unordered_set>

#include "teeny/core/error.h"
#include "teeny/text/tokenizer.h"
#include "text/normalize.h"
#include "text/pre_tokenizer.h"

namespace teeny {
namespace {

Json byte_level(bool prefix_space, bool use_regex) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", prefix_space}, {"trim_offsets", false}, {"use_regex", use_regex}};
}

Json sequence(const char* key, Json parts) { return {{"type", "Sequence"}, {key, std::move(parts)}}; }

Json normalizer(const BpeData& data) {
  Json parts = Json::array();
  if (data.nfc) parts.push_back({{"type", "NFC"}});
  if (data.alphabet == Alphabet::Characters && !data.metaspace) {
    if (data.prefix == SpacePrefix::Part) parts.push_back({{"type", "Prepend"}, {"prepend", kSpaceMarker}});
    parts.push_back({{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kSpaceMarker}});
  }
  return parts.empty() ? Json() : parts.size() == 1 ? parts[0] : sequence("normalizers", parts);
}

Json metaspace(SpacePrefix prefix, bool split) {
  const char* scheme = prefix == SpacePrefix::First ? "first" : prefix == SpacePrefix::Always ? "always" : "never";
  return {{"type", "Metaspace"}, {"replacement", kSpaceMarker}, {"prepend_scheme", scheme}, {"split", split}};
}

Json pre_tokenizer(const BpeData& data) {
  if (data.pre == PreTokenizer::None) return data.metaspace ? metaspace(data.prefix, data.split_words) : Json();
  Json parts = Json::array();
  bool own_regex = false;
  for (const PreStage& stage : known_pre_tokenizer(data.pre).parts()) {
    if (stage.digits) {
      parts.push_back({{"type", "Digits"}, {"individual_digits", true}});
    } else if (stage.pattern.empty()) {
      own_regex = true;
    } else {
      parts.push_back({{"type", "Split"}, {"pattern", {{"Regex", stage.pattern}}}, {"behavior", "Isolated"}, {"invert", false}});
    }
  }
  parts.push_back(byte_level(data.prefix_space, own_regex));
  return parts.size() == 1 ? parts[0] : sequence("pretokenizers", parts);
}

Json decoder(const BpeData& data) {
  if (data.decoder == TokenDecoder::ByteLevel) return byte_level(false, true);
  if (data.decoder == TokenDecoder::Metaspace) return metaspace(data.strip_space ? SpacePrefix::Always : SpacePrefix::Never, data.split_words);
  Json parts = Json::array({Json{{"type", "Replace"}, {"pattern", {{"String", kSpaceMarker}}}, {"content", " "}}, Json{{"type", "ByteFallback"}}, Json{{"type", "Fuse"}}});
  if (data.strip_space) parts.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  return sequence("decoders", parts);
}

Json post_processor(const BpeData& data) {
  const bool bos = data.add_bos && data.bos >= 0, eos = data.add_eos && data.eos >= 0;
  if (!bos && !eos) return data.alphabet == Alphabet::Bytes ? byte_level(false, true) : Json();
  Json single = Json::array(), pair = Json::array(), specials = Json::object();
  const auto put = [&](int32_t id) {
    const std::string& token = data.tokens.at(size_t(id));
    for (Json* list : {&single, &pair}) list->push_back({{"SpecialToken", {{"id", token}, {"type_id", 0}}}});
    specials[token] = {{"id", token}, {"ids", Json::array({id})}, {"tokens", Json::array({token})}};
  };
  const Json text = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}, second = {{"Sequence", {{"id", "B"}, {"type_id", 1}}}};
  if (bos) put(data.bos);
  single.push_back(text), pair.push_back(text), pair.push_back(second);
  if (eos) put(data.eos);
  return {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", specials}};
}

// Added tokens that stand in added_tokens alone. The package numbers those itself, behind the vocabulary: one with a smaller
// id goes into the vocabulary too, and all do where the others would not get their ids.
std::unordered_set<std::string> outside_vocabulary(const BpeData& data) {
  std::unordered_set<std::string> outside;
  for (const auto& token : data.added)
    if (!token.in_model) outside.insert(token.content);
  const auto held = [&](const std::string& token) { return !token.empty() && !outside.contains(token); };
  const auto last = std::find_if(data.tokens.rbegin(), data.tokens.rend(), held);
  const int64_t behind = data.tokens.rend() - last;
  for (const auto& token : data.added)
    if (token.id < behind) outside.erase(token.content);
  const auto size = std::count_if(data.tokens.begin(), data.tokens.end(), held);
  int64_t highest = -1;
  for (const auto& token : data.added) {
    if (outside.contains(token.content) && token.id != (highest >= size ? highest + 1 : size)) return {};
    highest = std::max<int64_t>(highest, token.id);
  }
  return outside;
}

}  // namespace

Json write_tokenizer_json(const BpeData& data) {
  Json added = Json::array(), vocab = Json::object(), merges = Json::array();
  const auto outside = outside_vocabulary(data);
  for (const auto& token : data.added)
    added.push_back({{"id", token.id}, {"content", token.content}, {"single_word", token.single_word}, {"lstrip", token.lstrip}, {"rstrip", token.rstrip},
                     {"normalized", token.normalized}, {"special", token.special}});
  auto& entries = vocab.get_ref<Json::object_t&>();  // appended directly: looking each key up would be quadratic
  for (size_t id = 0; id < data.tokens.size(); ++id)
    if (!data.tokens[id].empty() && !outside.contains(data.tokens[id])) entries.emplace_back(data.tokens[id], id);
  for (const auto& [left, right] : data.scores.empty() ? data.merges : merges_of_scores(data)) merges.push_back(Json::array({left, right}));
  const bool bytes = data.alphabet == Alphabet::Bytes;
  const Json model = {{"type", "BPE"},
                      {"dropout", nullptr},
                      {"unk_token", data.unk >= 0 && !bytes ? Json(data.tokens[size_t(data.unk)]) : Json()},
                      {"continuing_subword_prefix", nullptr},
                      {"end_of_word_suffix", nullptr},
                      {"fuse_unk", data.fuse_unk},
                      {"byte_fallback", data.byte_fallback},
                      {"ignore_merges", data.ignore_merges},
                      {"vocab", std::move(vocab)},
                      {"merges", std::move(merges)}};
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", added},
          {"normalizer", normalizer(data)},
          {"pre_tokenizer", pre_tokenizer(data)},
          {"post_processor", post_processor(data)},
          {"decoder", decoder(data)},
          {"model", model}};
}

}  // namespace teeny
