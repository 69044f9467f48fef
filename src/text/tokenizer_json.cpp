// tokenizer.json -> BpeData. Whatever this module would not tokenize as `tokenizers` does is refused by name.
#include <unordered_map>
#include <unordered_set>

#include "teeny/core/error.h"
#include "teeny/text/tokenizer.h"
#include "text/byte_level.h"
#include "text/tokenizer_json_parts.h"
#include "text/utf8.h"

namespace teeny {
namespace {

class Reader : private JsonFields {
 public:
  Reader(const Json& root, std::string_view subject) : JsonFields(subject), root_(root) {}
  BpeData read() {
    if (!root_.is_object()) fail("the file is a JSON {}, expected an object; is this a tokenizer.json?", root_.type_name());
    const Json& model = member(root_, "model");
    read_model(model);
    read_text_parts(root_, *this, data_);
    read_vocab(model);
    read_unknown(model);
    read_merges(model);
    read_added();
    for (const auto& [token, id] : ids_) data_.tokens[static_cast<size_t>(id)] = token;
    read_post_processor(member(root_, "post_processor"), *this, data_);
    return std::move(data_);
  }

 private:
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
      refuse("dropout", dump(dropout), "none");
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
  }

  // What becomes of a character without a token. With a token for every byte nothing of byte-level BPE is ever unknown.
  void read_unknown(const Json& model) {
    const Json& unk = member(model, "unk_token");
    data_.byte_fallback = flag(model, "byte_fallback", false);
    data_.fuse_unk = flag(model, "fuse_unk", false);
    if (data_.alphabet == Alphabet::Characters) {
      if (unk.is_null()) return;
      const auto it = ids_.find(text(unk, "model.unk_token"));
      if (it == ids_.end()) fail("model.unk_token is \"{}\", which the vocabulary lacks", text(unk, "model.unk_token"));
      data_.unk = it->second;
      return;
    }
    std::string missing;
    for (int byte = 0; byte < 256 && missing.empty(); ++byte) {
      std::string symbol;
      append_utf8(symbol, byte_level_char(static_cast<uint8_t>(byte)));
      if (!ids_.contains(symbol)) missing = symbol;
    }
    if ((!unk.is_null() || data_.byte_fallback) && !missing.empty())
      fail("unk_token or byte_fallback, and no token \"{}\" for one of the 256 bytes, is not supported; known: byte-level BPE", missing);
    data_.byte_fallback = data_.fuse_unk = false;
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
      token.in_model = ids_.contains(token.content);
      add(token.content, token.id);
      data_.added.push_back(std::move(token));
    }
  }

  const Json& root_;
  BpeData data_;
  std::unordered_map<std::string, int32_t> ids_;
  std::vector<bool> used_;
};

}  // namespace

BpeData read_tokenizer_json(const Json& tokenizer, std::string_view subject) { return Reader(tokenizer, subject).read(); }

}  // namespace teeny
