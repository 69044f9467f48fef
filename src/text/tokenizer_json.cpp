// tokenizer.json -> BpeData. Whatever this module would not tokenize as `tokenizers` does is refused by name.
#include <unordered_map>
#include <unordered_set>

#include "teeny/core/error.h"
#include "teeny/text/tokenizer.h"
#include "text/byte_level.h"
#include "text/pre_tokenizer.h"
#include "text/utf8.h"

namespace teeny {
namespace {

constexpr int64_t kMaxId = 1 << 22;
constexpr PreTokenizer kPreTokenizers[] = {PreTokenizer::Qwen2, PreTokenizer::Llama3, PreTokenizer::Gpt2};

class Reader {
 public:
  Reader(const Json& root, std::string_view subject) : root_(root), subject_(subject) {}
  BpeData read() {
    if (!root_.is_object()) fail("the file is a JSON {}, expected an object; is this a tokenizer.json?", root_.type_name());
    const Json& model = member(root_, "model");
    read_model(model);
    read_vocab(model);
    read_merges(model);
    read_added();
    for (const auto& [token, id] : ids_) data_.tokens[static_cast<size_t>(id)] = token;
    read_normalizer(member(root_, "normalizer"));
    read_pre_tokenizer(member(root_, "pre_tokenizer"));
    read_post_processor(member(root_, "post_processor"));
    const Json& decoder = member(root_, "decoder");
    if (type_of(decoder, "decoder") != "ByteLevel") refuse("decoder", type_of(decoder, "decoder"), "ByteLevel");
    return std::move(data_);
  }

 private:
  template <class... A>
  [[noreturn]] void fail(fmt::format_string<A...> format, A&&... args) const {
    throw input_error("tokenizer", subject_, format, std::forward<A>(args)...);
  }
  [[noreturn]] void refuse(std::string_view what, std::string_view name, std::string_view known) const {
    fail("{} \"{}\" is not supported; known: {}", what, name, known);
  }

  // The member, or null when absent. Values of the wrong type are found by whoever uses them.
  static const Json& member(const Json& object, const char* key) {
    static const Json null;
    if (!object.is_object()) return null;
    const auto it = object.find(key);
    return it == object.end() ? null : *it;
  }
  std::string type_of(const Json& part, std::string_view what) const {
    if (part.is_null()) return "null";
    return text(member(part, "type"), fmt::format("{}.type", what));
  }
  std::string text(const Json& value, std::string_view what) const {
    if (!value.is_string()) fail("{} is a JSON {}, expected a string", what, value.type_name());
    return value.get<std::string>();
  }
  bool flag(const Json& object, const char* key, bool absent) const {
    const Json& value = member(object, key);
    if (value.is_null()) return absent;
    if (!value.is_boolean()) fail("{} is a JSON {}, expected true or false", key, value.type_name());
    return value.get<bool>();
  }
  int32_t id(const Json& value, std::string_view token) const {
    const bool integer = value.is_number_integer() && !(value.is_number_unsigned() && value.get<uint64_t>() >= uint64_t{kMaxId});
    if (!integer || value.get<int64_t>() < 0 || value.get<int64_t>() >= kMaxId)
      fail("token \"{}\" has id {}, expected an integer in [0, {})", token, value.dump(-1, ' ', false, Json::error_handler_t::replace), kMaxId);
    return value.get<int32_t>();
  }

  void read_model(const Json& model) {
    if (!model.is_object()) fail("\"model\" is a JSON {}, expected an object; is this a tokenizer.json?", model.type_name());
    // Files of before 2020 have no type; a BPE is then known by its merges.
    const std::string type = model.contains("type") ? type_of(model, "model") : model.contains("merges") ? "BPE" : "none";
    if (type != "BPE") refuse("model", type, "BPE");
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      const Json& value = member(model, key);
      if (!value.is_null() && !text(value, key).empty()) refuse(key, text(value, key), "none");
    }
    const Json& dropout = member(model, "dropout");
    if (!dropout.is_null() && !(dropout.is_number() && dropout.get<double>() == 0))
      refuse("dropout", dropout.dump(-1, ' ', false, Json::error_handler_t::replace), "none");
    data_.ignore_merges = flag(model, "ignore_merges", false);
  }

  void read_vocab(const Json& model) {
    const Json& vocab = member(model, "vocab");
    if (!vocab.is_object()) fail("model.vocab is a JSON {}, expected an object", vocab.type_name());
    if (vocab.empty()) fail("model.vocab is empty; is the file cut short?");
    ids_.reserve(vocab.size());
    for (const auto& [token, value] : vocab.items()) {
      if (token.empty()) fail("the vocabulary holds an empty token; remove it");
      add(token, id(value, token));
    }
    // With a token for every byte nothing is ever unknown: unk_token, fuse_unk and byte_fallback then mean nothing.
    std::string missing;
    for (int byte = 0; byte < 256 && missing.empty(); ++byte) {
      std::string symbol;
      append_utf8(symbol, byte_level_char(static_cast<uint8_t>(byte)));
      if (!ids_.contains(symbol)) missing = symbol;
    }
    const bool unknown = !member(model, "unk_token").is_null() || flag(model, "byte_fallback", false);
    if (unknown && !missing.empty())
      fail("unk_token or byte_fallback, and no token \"{}\" for one of the 256 bytes, is not supported; known: byte-level BPE", missing);
  }

  void add(const std::string& token, int32_t id) {
    const auto [it, fresh] = ids_.emplace(token, id);
    if (!fresh && it->second != id) fail("token \"{}\" has the ids {} and {}", token, it->second, id);
    const auto i = static_cast<size_t>(id);
    if (data_.tokens.size() <= i) data_.tokens.resize(i + 1), used_.resize(i + 1);
    if (fresh && used_[i]) fail("id {} belongs to two tokens, one of them \"{}\"; ids must be unique", id, token);
    used_[i] = true;
  }

  void read_merges(const Json& model) {
    const Json& merges = member(model, "merges");
    if (!merges.is_array()) fail("model.merges is a JSON {}, expected an array", merges.type_name());
    data_.merges.reserve(merges.size());
    for (const Json& merge : merges) {
      const size_t rank = data_.merges.size();
      auto pair = split_merge(merge, rank);
      for (const auto& part : {pair.first, pair.second, pair.first + pair.second})
        if (!ids_.contains(part))
          fail("merge {} (\"{}\" + \"{}\") needs the token \"{}\", which the vocabulary lacks", rank, pair.first, pair.second, part);
      data_.merges.push_back(std::move(pair));
    }
  }

  std::pair<std::string, std::string> split_merge(const Json& merge, size_t rank) const {
    if (merge.is_array()) {
      if (merge.size() != 2) fail("merge {} has {} parts, expected 2", rank, merge.size());
      return {text(merge[0], "a part of a merge"), text(merge[1], "a part of a merge")};
    }
    const std::string line = text(merge, fmt::format("merge {}", rank));
    const size_t space = line.find(' ');
    if (space == std::string::npos || space == 0 || space + 1 == line.size() || line.find(' ', space + 1) != std::string::npos)
      fail("merge {} is \"{}\", expected two parts with one space between them", rank, line);
    return {line.substr(0, space), line.substr(space + 1)};
  }

  void read_added() {
    const Json& added = member(root_, "added_tokens");
    if (added.is_null()) return;
    if (!added.is_array()) fail("added_tokens is a JSON {}, expected an array", added.type_name());
    std::unordered_set<std::string> seen;
    for (const Json& entry : added) {
      AddedToken token;
      token.content = text(member(entry, "content"), "the content of an added token");
      token.id = id(member(entry, "id"), token.content);
      if (token.content.empty()) fail("added token {} is empty; remove it", token.id);
      if (!seen.insert(token.content).second) fail("added token \"{}\" stands twice; remove one", token.content);
      token.special = flag(entry, "special", false);
      token.single_word = flag(entry, "single_word", false);
      token.lstrip = flag(entry, "lstrip", false);
      token.rstrip = flag(entry, "rstrip", false);
      token.normalized = flag(entry, "normalized", !token.special);
      add(token.content, token.id);
      data_.added.push_back(std::move(token));
    }
  }

  // A Sequence's members, or the part itself; null gives none.
  std::vector<const Json*> parts_of(const Json& part, const char* key, std::string_view what) const {
    if (part.is_null()) return {};
    if (type_of(part, what) != "Sequence") return {&part};
    const Json& list = member(part, key);
    if (!list.is_array()) fail("{}.{} is a JSON {}, expected an array", what, key, list.type_name());
    std::vector<const Json*> parts;
    for (const Json& entry : list) parts.push_back(&entry);
    return parts;
  }

  void read_normalizer(const Json& normalizer) {
    for (const Json* part : parts_of(normalizer, "normalizers", "normalizer")) {
      const std::string type = type_of(*part, "normalizer");
      if (type != "NFC") refuse("normalizer", type, "NFC, none");
      data_.nfc = true;
    }
  }

  // Known: Split(one of the patterns, Isolated) then ByteLevel without its own regex; or ByteLevel with it (GPT-2).
  void read_pre_tokenizer(const Json& pre) {
    const auto parts = parts_of(pre, "pretokenizers", "pre_tokenizer");
    for (const Json* part : parts) {
      const std::string type = type_of(*part, "pre_tokenizer");
      if (type != "Split" && type != "ByteLevel") refuse("pre_tokenizer", type, "Split with a known pattern, ByteLevel");
    }
    const bool split = parts.size() == 2 && type_of(*parts[0], "pre_tokenizer") == "Split";
    if ((parts.size() != 1 && !split) || type_of(*parts.back(), "pre_tokenizer") != "ByteLevel")
      refuse("pre_tokenizer", parts.empty() ? "null" : "Sequence of other parts", "Split with a known pattern followed by ByteLevel, or ByteLevel alone");
    const bool own_regex = flag(*parts.back(), "use_regex", true), prefix = flag(*parts.back(), "add_prefix_space", true);
    if (!split) {
      if (!own_regex) refuse("pre_tokenizer", "ByteLevel with use_regex=false alone", "a Split before it, or use_regex=true");
      data_.pre = PreTokenizer::Gpt2;
      data_.prefix_space = prefix;
      return;
    }
    data_.pre = read_split(*parts[0]);
    // GPT-2's regex once more over its own pieces cuts nothing further; over other pieces it would.
    if (own_regex && data_.pre != PreTokenizer::Gpt2) refuse("pre_tokenizer", "Split followed by ByteLevel with use_regex=true", "use_regex=false");
    if (prefix) refuse("pre_tokenizer", "Split followed by ByteLevel with add_prefix_space=true", "add_prefix_space=false");
  }

  PreTokenizer read_split(const Json& split) const {
    const std::string behavior = text(member(split, "behavior"), "pre_tokenizer.behavior");
    if (behavior != "Isolated" || flag(split, "invert", false)) refuse("Split behavior", behavior + (flag(split, "invert", false) ? " inverted" : ""), "Isolated");
    const Json& pattern = member(split, "pattern");
    if (!member(pattern, "Regex").is_string()) refuse("Split pattern", pattern.dump(-1, ' ', false, Json::error_handler_t::replace), "{\"Regex\": ...}");
    const std::string regex = member(pattern, "Regex").get<std::string>();
    for (const PreTokenizer known : kPreTokenizers)
      if (regex == pattern_of(known)) return known;
    refuse("pre-tokenizer pattern", regex, "those of Qwen2, Llama 3 and GPT-2");
  }

  void read_post_processor(const Json& post) {
    for (const Json* part : parts_of(post, "processors", "post_processor")) {
      const std::string type = type_of(*part, "post_processor");
      if (type == "ByteLevel") continue;  // moves offsets only
      if (type != "TemplateProcessing") refuse("post_processor", type, "ByteLevel, TemplateProcessing that adds one token before the text");
      read_template(*part);
    }
  }

  void read_template(const Json& part) {
    const Json& single = member(part, "single");
    if (!single.is_array()) fail("post_processor.single is a JSON {}, expected an array", single.type_name());
    std::vector<std::string> specials;
    bool text_seen = false;
    for (const Json& item : single) {
      const Json& special = member(item, "SpecialToken");
      if (special.is_null() && text_seen) refuse("post_processor", "TemplateProcessing with the text twice", "one token before the text");
      if (special.is_null()) {
        text_seen = true;
      } else {
        if (text_seen) refuse("post_processor", "TemplateProcessing that adds tokens after the text", "one token before the text");
        specials.push_back(text(member(special, "id"), "post_processor.single.SpecialToken.id"));
      }
    }
    if (specials.empty()) return;
    if (specials.size() > 1 || data_.add_bos) refuse("post_processor", "TemplateProcessing that adds several tokens", "one token before the text");
    const Json& ids = member(member(member(part, "special_tokens"), specials[0].c_str()), "ids");
    if (!ids.is_array() || ids.size() != 1) fail("post_processor.special_tokens has not one id for \"{}\"", specials[0]);
    data_.bos = id(ids[0], specials[0]);
    data_.add_bos = true;
    if (static_cast<size_t>(data_.bos) >= data_.tokens.size() || !used_[static_cast<size_t>(data_.bos)])
      fail("post_processor adds id {} (\"{}\"), which no token has", data_.bos, specials[0]);
  }

  const Json& root_;
  std::string_view subject_;
  BpeData data_;
  std::unordered_map<std::string, int32_t> ids_;
  std::vector<bool> used_;
};

}  // namespace

BpeData read_tokenizer_json(const Json& tokenizer, std::string_view subject) { return Reader(tokenizer, subject).read(); }

}  // namespace teeny
