#include "text/tokenizer_json_parts.h"

#include <algorithm>

#include "text/normalize.h"
#include "text/pre_tokenizer.h"

namespace teeny {
namespace {

constexpr const char* kKnownPre = "Split with a known pattern followed by ByteLevel, ByteLevel alone, Metaspace";
constexpr const char* kKnownDecoders = "ByteLevel; Replace, ByteFallback, Fuse, Strip; Metaspace";
constexpr const char* kKnownTemplates = "at most one token before the text and one after it";

// Whether `part` is a Replace of the string `from` by `to`.
bool replaces(const Json& part, std::string_view from, std::string_view to) {
  const Json &pattern = JsonFields::member(JsonFields::member(part, "pattern"), "String"), &content = JsonFields::member(part, "content");
  return pattern.is_string() && content.is_string() && pattern.get<std::string>() == from && content.get<std::string>() == to;
}

// Literal line breaks in a pattern mean what their escapes mean.
std::string escaped(std::string pattern) {
  std::string out;
  for (const char c : pattern) out += c == '\n' ? "\\n" : c == '\r' ? "\\r" : std::string(1, c);
  return out;
}

class PartReader {
 public:
  PartReader(const JsonFields& fields, BpeData& data) : f_(fields), data_(data) {}

  void read_normalizer(const Json& normalizer) {
    for (const Json* part : f_.parts_of(normalizer, "normalizers", "normalizer")) {
      const std::string type = f_.type_of(*part, "normalizer");
      if (type == "NFC") {
        data_.nfc = true;
      } else if (type == "Prepend" && f_.text(JsonFields::member(*part, "prepend"), "normalizer.prepend") == kSpaceMarker) {
        prepend_ = true;
      } else if (type == "Replace" && replaces(*part, " ", kSpaceMarker)) {
        replace_ = true;
      } else {
        const bool other = type == "Prepend" || type == "Replace";
        f_.refuse("normalizer", other ? JsonFields::dump(*part) : type, "NFC, Prepend of U+2581, Replace of a space by U+2581, none");
      }
    }
  }

  void read_pre_tokenizer(const Json& pre) {
    const auto parts = f_.parts_of(pre, "pretokenizers", "pre_tokenizer");
    std::vector<std::string> types;
    for (const Json* part : parts) {
      types.push_back(f_.type_of(*part, "pre_tokenizer"));
      const auto& type = types.back();
      if (type != "Split" && type != "ByteLevel" && type != "Metaspace" && type != "Digits") f_.refuse("pre_tokenizer", type, kKnownPre);
    }
    if (std::find(types.begin(), types.end(), "ByteLevel") != types.end()) return read_byte_level(parts, types);
    if (replace_) {
      // Where every space has been replaced, a Split at spaces does nothing (Gemma).
      const bool idle = parts.size() == 1 && types[0] == "Split" && JsonFields::member(JsonFields::member(*parts[0], "pattern"), "String") == Json(" ");
      if (!parts.empty() && !idle) f_.refuse("pre_tokenizer", parts.size() > 1 ? "Sequence of other parts" : types[0], "none after a normalizer that puts U+2581");
      data_.prefix = prepend_ ? SpacePrefix::Part : SpacePrefix::Never;
      return set_characters();
    }
    if (parts.size() != 1 || types[0] != "Metaspace")
      f_.refuse("pre_tokenizer", parts.empty() ? "null" : parts.size() > 1 ? "Sequence of other parts" : types[0] + " alone", kKnownPre);
    if (prepend_) f_.refuse("normalizer", "Prepend without Replace", "both, or neither");
    read_metaspace(*parts[0]);
  }

  void read_decoder(const Json& decoder) {
    const auto parts = f_.parts_of(decoder, "decoders", "decoder");
    std::string names;
    for (const Json* part : parts) names += (names.empty() ? "" : " ") + name_of(*part);
    const bool bytes = data_.alphabet == Alphabet::Bytes;
    if (bytes && names == "ByteLevel") return;
    if (!bytes && (names == "Replace ByteFallback Fuse Strip" || names == "Replace ByteFallback Fuse")) {
      data_.decoder = TokenDecoder::ByteFallback;
      data_.strip_space = parts.size() == 4;
      return;
    }
    if (!bytes && names == "Metaspace") {
      data_.decoder = TokenDecoder::Metaspace;
      data_.strip_space = prefix_of(*parts[0], "decoder") != SpacePrefix::Never;
      return;
    }
    f_.refuse("decoder", names.empty() ? "null" : names, bytes ? "ByteLevel" : kKnownDecoders);
  }

 private:
  void set_characters() {
    data_.alphabet = Alphabet::Characters;
    data_.pre = PreTokenizer::None;
  }

  // Known: the stages of one of the pre-tokenizers, then ByteLevel; ByteLevel's own regex is a stage too (GPT-2).
  void read_byte_level(const std::vector<const Json*>& parts, const std::vector<std::string>& types) {
    const auto is_byte_level = [](const std::string& type) { return type == "ByteLevel"; };
    if (std::count_if(types.begin(), types.end(), is_byte_level) != 1 || types.back() != "ByteLevel" || std::count(types.begin(), types.end(), "Metaspace"))
      f_.refuse("pre_tokenizer", "Sequence of other parts", kKnownPre);
    if (prepend_ || replace_) f_.refuse("normalizer", "Prepend or Replace before ByteLevel", "NFC, none");
    const bool own_regex = f_.flag(*parts.back(), "use_regex", true), prefix = f_.flag(*parts.back(), "add_prefix_space", true);
    std::vector<PreStage> stages;
    for (size_t i = 0; i + 1 < parts.size(); ++i) stages.push_back(types[i] == "Digits" ? read_digits(*parts[i]) : read_split(*parts[i]));
    if (stages.empty() && !own_regex) f_.refuse("pre_tokenizer", "ByteLevel with use_regex=false alone", "a Split before it, or use_regex=true");
    // GPT-2's regex once more over its own pieces cuts nothing further.
    const bool repeated = !stages.empty() && stages.back().pattern.empty() && !stages.back().digits;
    if (own_regex && !repeated) stages.push_back({{}, false, nullptr});
    if (prefix && parts.size() > 1) f_.refuse("pre_tokenizer", "Split followed by ByteLevel with add_prefix_space=true", "add_prefix_space=false");
    for (const auto& known : known_pre_tokenizers()) {
      const auto same = [](const PreStage& a, const PreStage& b) { return a.pattern == b.pattern && a.digits == b.digits; };
      if (!std::equal(stages.begin(), stages.end(), known.parts().begin(), known.parts().end(), same)) continue;
      data_.pre = known.pre;
      data_.prefix_space = prefix;
      return;
    }
    if (parts.size() == 2 && own_regex) f_.refuse("pre_tokenizer", "Split followed by ByteLevel with use_regex=true", "use_regex=false");
    f_.refuse("pre_tokenizer", "Sequence of known patterns in an unknown order", kKnownPre);
  }

  PreStage read_digits(const Json& part) const {
    if (!f_.flag(part, "individual_digits", false)) f_.refuse("pre_tokenizer", "Digits with individual_digits=false", "individual_digits=true");
    return {{}, true, nullptr};
  }

  PreStage read_split(const Json& split) const {
    const std::string behavior = f_.text(JsonFields::member(split, "behavior"), "pre_tokenizer.behavior");
    const bool invert = f_.flag(split, "invert", false);
    if (behavior != "Isolated" || invert) f_.refuse("Split behavior", behavior + (invert ? " inverted" : ""), "Isolated");
    const Json& pattern = JsonFields::member(split, "pattern");
    if (!JsonFields::member(pattern, "Regex").is_string()) f_.refuse("Split pattern", JsonFields::dump(pattern), "{\"Regex\": ...}");
    const std::string regex = escaped(JsonFields::member(pattern, "Regex").get<std::string>());
    if (regex == gpt2_pattern()) return {{}, false, nullptr};
    std::string names;
    for (const auto& known : known_pre_tokenizers()) {
      for (const auto& stage : known.parts())
        if (regex == stage.pattern) return stage;
      names += (names.empty() ? "" : ", ") + std::string(known.name);
    }
    f_.refuse("pre-tokenizer pattern", regex, "those of " + names);
  }

  void read_metaspace(const Json& part) {
    data_.prefix = prefix_of(part, "pre_tokenizer");
    data_.split_words = f_.flag(part, "split", true);
    data_.metaspace = true;
    set_characters();
  }

  SpacePrefix prefix_of(const Json& part, std::string_view what) const {
    if (const auto replacement = f_.text(JsonFields::member(part, "replacement"), fmt::format("{}.replacement", what)); replacement != kSpaceMarker)
      f_.refuse("Metaspace replacement", replacement, "U+2581");
    const Json& given = JsonFields::member(part, "prepend_scheme");
    const std::string scheme = given.is_null() ? "always" : f_.text(given, fmt::format("{}.prepend_scheme", what));
    if (scheme != "never" && !f_.flag(part, "add_prefix_space", true)) f_.fail("{}: add_prefix_space=false does not go with prepend_scheme \"{}\"", what, scheme);
    if (scheme == "always") return SpacePrefix::Always;
    if (scheme == "first") return SpacePrefix::First;
    if (scheme != "never") f_.refuse("prepend_scheme", scheme, "first, always, never");
    return SpacePrefix::Never;
  }

  // The type; for a decoder whose arguments are not the usual ones with them.
  std::string name_of(const Json& part) const {
    const std::string type = f_.type_of(part, "decoder");
    if (type == "Replace" && !replaces(part, kSpaceMarker, " ")) return JsonFields::dump(part);
    if (type == "Strip" && !(JsonFields::member(part, "content") == Json(" ") && JsonFields::member(part, "start") == Json(1) && JsonFields::member(part, "stop") == Json(0)))
      return JsonFields::dump(part);
    return type;
  }

  const JsonFields& f_;
  BpeData& data_;
  bool prepend_ = false, replace_ = false;
};

// One token's id of a template, checked.
int32_t template_token(const Json& part, const std::string& name, const JsonFields& f, const BpeData& data) {
  const Json& ids = JsonFields::member(JsonFields::member(JsonFields::member(part, "special_tokens"), name.c_str()), "ids");
  if (!ids.is_array() || ids.size() != 1) f.fail("post_processor.special_tokens has not one id for \"{}\"", name);
  const int32_t id = f.id(ids[0], name);
  if (static_cast<size_t>(id) >= data.tokens.size() || data.tokens[static_cast<size_t>(id)].empty())
    f.fail("post_processor adds id {} (\"{}\"), which no token has", id, name);
  return id;
}

void read_template(const Json& part, const JsonFields& f, BpeData& data) {
  const Json& single = JsonFields::member(part, "single");
  if (!single.is_array()) f.fail("post_processor.single is a JSON {}, expected an array", single.type_name());
  bool text_seen = false;
  for (const Json& item : single) {
    const Json& special = JsonFields::member(item, "SpecialToken");
    if (special.is_null()) {
      if (text_seen) f.refuse("post_processor", "TemplateProcessing with the text twice", kKnownTemplates);
      text_seen = true;
      continue;
    }
    bool& adds = text_seen ? data.add_eos : data.add_bos;
    if (adds) f.refuse("post_processor", "TemplateProcessing that adds several tokens", kKnownTemplates);
    (text_seen ? data.eos : data.bos) = template_token(part, f.text(JsonFields::member(special, "id"), "post_processor.single.SpecialToken.id"), f, data);
    adds = true;
  }
  if (!text_seen) f.refuse("post_processor", "TemplateProcessing without the text", kKnownTemplates);
}

}  // namespace

void read_text_parts(const Json& root, const JsonFields& fields, BpeData& data) {
  PartReader reader(fields, data);
  reader.read_normalizer(JsonFields::member(root, "normalizer"));
  reader.read_pre_tokenizer(JsonFields::member(root, "pre_tokenizer"));
  reader.read_decoder(JsonFields::member(root, "decoder"));
}

void read_post_processor(const Json& post, const JsonFields& f, BpeData& data) {
  for (const Json* part : f.parts_of(post, "processors", "post_processor")) {
    const std::string type = f.type_of(*part, "post_processor");
    if (type == "ByteLevel") continue;  // moves offsets only
    if (type != "TemplateProcessing") f.refuse("post_processor", type, "ByteLevel, TemplateProcessing");
    read_template(*part, f, data);
  }
}

}  // namespace teeny
