// Text <-> token ids, as the Hugging Face `tokenizers` package does it, from tokenizer.json or from GGUF's vocabulary.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "teeny/core/json.h"

namespace teeny {

// The pre-tokenizers that are known; an unknown pattern in a file is refused by name, never interpreted. None: the text
// between added tokens is one word.
enum class PreTokenizer { Qwen2, Llama3, Gpt2, Tekken, Gpt4o, Qwen35, SmolLm, DeepSeek3, None };

// What merges start from: the bytes of the text, or its characters with U+2581 for a space (as SentencePiece has it).
enum class Alphabet { Bytes, Characters };
// When U+2581 goes before a stretch of text. Part: before each, whatever it starts with (the Prepend normalizer).
// Always: before each that does not start with one; First: only at the very start of the text (both: Metaspace).
enum class SpacePrefix { Never, Part, Always, First };
// ByteFallback: U+2581 to space, then runs of <0xHH> to UTF-8. Metaspace: U+2581 to space, those of the first token dropped.
enum class TokenDecoder { ByteLevel, ByteFallback, Metaspace };

struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool special = false, single_word = false, lstrip = false, rstrip = false, normalized = false;
  bool in_model = false;  // the model's own vocabulary has it too: merges may give it
};

// Plain data of a BPE vocabulary: what both containers carry.
struct BpeData {
  std::vector<std::string> tokens;                           // by id, as the file has them ("Ġthe", "▁the"); gaps empty
  std::vector<std::pair<std::string, std::string>> merges;   // by rank
  std::vector<float> scores;                                 // by id, instead of merges: any two tokens that together are a token merge, highest score first
  std::vector<AddedToken> added;
  Alphabet alphabet = Alphabet::Bytes;
  PreTokenizer pre = PreTokenizer::Qwen2;
  TokenDecoder decoder = TokenDecoder::ByteLevel;
  bool nfc = false, ignore_merges = false, add_bos = false, add_eos = false;
  bool prefix_space = false;                                 // Bytes: a space goes before text that has none (Gpt2 only)
  // Characters: who puts U+2581, the Metaspace pre-tokenizer or the normalizer (which added tokens may see), and where.
  bool metaspace = false;
  SpacePrefix prefix = SpacePrefix::Never;
  bool split_words = false;                                  // a word begins at each U+2581 (Metaspace)
  bool byte_fallback = false, fuse_unk = false;
  bool strip_space = false;                                  // the decoder drops the space in front of the text
  int32_t bos = -1, eos = -1, pad = -1, unk = -1;
};

// Decodes one id after another. What it has returned, end to end, is what Tokenizer::decode gives for all ids.
class DecodeStream {
 public:
  virtual ~DecodeStream() = default;
  virtual std::string push(int32_t id) = 0;  // the text that is certain by now
  virtual std::string finish() = 0;          // the rest; the stream is then as new
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  // Special (added) tokens in the text are recognised, as tokenizers does. add_special: what the post-processor adds (BOS, EOS).
  // Bytes that are not UTF-8 become U+FFFD, one for each maximal ill-formed part. Safe from several threads at once.
  virtual std::vector<int32_t> encode(std::string_view text, bool add_special = false) const = 0;
  // Ids without a token give nothing; bytes that are not UTF-8 give U+FFFD.
  virtual std::string decode(std::span<const int32_t> ids, bool skip_special = true) const = 0;
  // The same for ids that follow other text, such as a completion: its first space is part of it.
  virtual std::string decode_continuation(std::span<const int32_t> ids, bool skip_special = true) const { return decode(ids, skip_special); }
  virtual std::string decode_bytes(int32_t id) const = 0;      // the raw bytes of one token (may be part of a character)
  // Must not outlive the tokenizer. This default keeps everything until finish().
  virtual std::unique_ptr<DecodeStream> decode_stream(bool skip_special = true) const;
  virtual int64_t size() const = 0;                            // ids are in [0, size)
  virtual int32_t id_of(std::string_view token) const = 0;     // -1: absent
  virtual const BpeData& data() const = 0;                     // to write the vocabulary into another container
};

// Input error, by name, for anything in the file that is not known to mean what `tokenizers` makes of it.
BpeData read_tokenizer_json(const Json& tokenizer, std::string_view subject);
Json write_tokenizer_json(const BpeData& data);  // what read_tokenizer_json reads back as the same data
std::shared_ptr<Tokenizer> make_tokenizer(BpeData data, std::string_view subject);
// The merges that scores stand for, in the order in which converters write them: by score, then longer parts first.
std::vector<std::pair<std::string, std::string>> merges_of_scores(const BpeData& data);

// Chat: the templates that are known are recognised by what they render, never executed.
struct ChatMessage {
  std::string role, content;
};
class ChatTemplate {
 public:
  virtual ~ChatTemplate() = default;
  virtual std::string name() const = 0;  // "chatml", "qwen2.5", "llama3", ...
  // The whole prompt, BOS included where the template prints one: encode it with add_special = false.
  virtual std::string render(const std::vector<ChatMessage>& messages, bool add_generation_prompt) const = 0;
};
// nullptr: no template. Input error naming the file for a template that is not on the whitelist.
std::shared_ptr<ChatTemplate> recognise_chat_template(const std::string& jinja, std::string_view subject);

}  // namespace teeny
