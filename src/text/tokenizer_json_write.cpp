// BpeData -> tokenizer.json: the inverse of read_tokenizer_json.
#include <unordered_set>

#include "teeny/core/error.h"
#include "teeny/text/tokenizer.h"
#include "text/pre_tokenizer.h"

namespace teeny {
namespace {

Json byte_level(bool prefix_space, bool use_regex) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", prefix_space}, {"trim_offsets", false}, {"use_regex", use_regex}};
}

Json pre_tokenizer(const BpeData& data) {
  if (data.pre == PreTokenizer::Gpt2) return byte_level(data.prefix_space, true);
  const Json split = {{"type", "Split"}, {"pattern", {{"Regex", std::string(pattern_of(data.pre))}}}, {"behavior", "Isolated"}, {"invert", false}};
  return {{"type", "Sequence"}, {"pretokenizers", Json::array({split, byte_level(data.prefix_space, false)})}};
}

Json post_processor(const BpeData& data) {
  if (!data.add_bos || data.bos < 0) return byte_level(false, true);
  const std::string bos = data.tokens.at(size_t(data.bos));
  const Json sequence = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}, start = {{"SpecialToken", {{"id", bos}, {"type_id", 0}}}};
  return {{"type", "TemplateProcessing"},
          {"single", Json::array({start, sequence})},
          {"pair", Json::array({start, sequence, sequence})},
          {"special_tokens", {{bos, {{"id", bos}, {"ids", Json::array({data.bos})}, {"tokens", Json::array({bos})}}}}}};
}

}  // namespace

Json write_tokenizer_json(const BpeData& data) {
  Json added = Json::array(), vocab = Json::object(), merges = Json::array();
  std::unordered_set<std::string> outside;  // added tokens stand in added_tokens alone, as the tokenizers package writes them
  for (const auto& token : data.added) {
    added.push_back({{"id", token.id}, {"content", token.content}, {"single_word", token.single_word}, {"lstrip", token.lstrip}, {"rstrip", token.rstrip},
                     {"normalized", token.normalized}, {"special", token.special}});
    outside.insert(token.content);
  }
  auto& entries = vocab.get_ref<Json::object_t&>();  // appended directly: looking each key up would be quadratic
  for (size_t id = 0; id < data.tokens.size(); ++id)
    if (!data.tokens[id].empty() && !outside.contains(data.tokens[id])) entries.emplace_back(data.tokens[id], id);
  for (const auto& [left, right] : data.merges) merges.push_back(Json::array({left, right}));
  const Json model = {{"type", "BPE"},  {"dropout", nullptr}, {"unk_token", nullptr}, {"continuing_subword_prefix", nullptr}, {"end_of_word_suffix", nullptr},
                      {"fuse_unk", false}, {"byte_fallback", false}, {"ignore_merges", data.ignore_merges}, {"vocab", std::move(vocab)}, {"merges", std::move(merges)}};
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", added},
          {"normalizer", data.nfc ? Json({{"type", "NFC"}}) : Json()},
          {"pre_tokenizer", pre_tokenizer(data)},
          {"post_processor", post_processor(data)},
          {"decoder", byte_level(false, true)},
          {"model", model}};
}

}  // namespace teeny
