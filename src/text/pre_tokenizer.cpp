#include "text/pre_tokenizer.h"

#include "teeny/core/error.h"

namespace teeny {
namespace {

constexpr std::string_view kQwen2 =
    R"re((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)re";
constexpr std::string_view kLlama3 =
    R"re((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)re";
constexpr std::string_view kGpt2 =
    R"re('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)re";
constexpr std::string_view kTekken =
    R"re([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)re"
    R"re(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)re"
    R"re(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)re";
constexpr std::string_view kGpt4o =
    R"re([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?)re"
    R"re(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?)re"
    R"re(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)re";
constexpr std::string_view kQwen35 =
    R"re((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)re";
constexpr std::string_view kThreeNumbers = R"re(\p{N}{1,3})re";
constexpr std::string_view kCjk = "[\u4E00-\u9FA5\u3040-\u309F\u30A0-\u30FF]+";
constexpr std::string_view kDeepSeekWords =
    R"re([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)re";

constexpr PreStage kNone{};
constexpr PreStage split(std::string_view pattern, Scanner scan) { return {pattern, false, scan}; }
constexpr PreStage kDigits{{}, true, scan_digit}, kByteLevel{{}, false, scan_gpt2};

constexpr KnownPreTokenizer kKnown[] = {
    {PreTokenizer::Qwen2, "Qwen2", {split(kQwen2, scan_qwen2), kNone, kNone}, 1},
    {PreTokenizer::Llama3, "Llama 3", {split(kLlama3, scan_llama3), kNone, kNone}, 1},
    {PreTokenizer::Gpt2, "GPT-2", {kByteLevel, kNone, kNone}, 1},
    {PreTokenizer::Tekken, "Tekken", {split(kTekken, scan_tekken), kNone, kNone}, 1},
    {PreTokenizer::Gpt4o, "GPT-4o", {split(kGpt4o, scan_gpt4o), kNone, kNone}, 1},
    {PreTokenizer::Qwen35, "Qwen3.5", {split(kQwen35, scan_qwen35), kNone, kNone}, 1},
    {PreTokenizer::SmolLm, "SmolLM", {kDigits, kByteLevel, kNone}, 2},
    {PreTokenizer::DeepSeek3, "DeepSeek-V3", {split(kThreeNumbers, scan_three_numbers), split(kCjk, scan_cjk), split(kDeepSeekWords, scan_deepseek_words)}, 3},
};

}  // namespace

std::span<const KnownPreTokenizer> known_pre_tokenizers() { return kKnown; }
std::string_view gpt2_pattern() { return kGpt2; }

const KnownPreTokenizer& known_pre_tokenizer(PreTokenizer pre) {
  for (const auto& known : kKnown)
    if (known.pre == pre) return known;
  TEENY_ASSERT(!"pre-tokenizer");
  return kKnown[0];
}

}  // namespace teeny
