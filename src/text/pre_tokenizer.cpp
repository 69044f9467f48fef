#include "text/pre_tokenizer.h"

#include "teeny/core/error.h"
#include "text/char_class.h"
#include "text/utf8.h"

namespace teeny {
namespace {

constexpr std::string_view kQwen2Pattern =
    R"re((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)re";
constexpr std::string_view kLlama3Pattern =
    R"re((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)re";
constexpr std::string_view kGpt2Pattern =
    R"re('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)re";

constexpr std::array<uint8_t, 128> ascii_classes() {
  std::array<uint8_t, 128> table{};
  for (int c = 0; c < 128; ++c) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) table[c] = kLetter;
    if (c >= '0' && c <= '9') table[c] = kNumber;
    if (c == ' ' || (c >= '\t' && c <= '\r')) table[c] = kSpace;
  }
  return table;
}
constexpr auto kAscii = ascii_classes();

struct Char {
  CharClass cls;
  int length;
};

inline Char char_at(const char* p) {
  const auto c = static_cast<unsigned char>(*p);
  if (c < 0x80) return {static_cast<CharClass>(kAscii[c]), 1};
  static const CharClasses& classes = CharClasses::instance();
  int length = 0;
  const uint32_t code_point = decode_utf8(p, length);
  return {classes.of(code_point), length};
}

inline const char* skip_run(const char* p, const char* end, CharClass cls) {
  while (p < end) {
    const Char c = char_at(p);
    if (c.cls != cls) break;
    p += c.length;
  }
  return p;
}

inline bool is_newline(char c) { return c == '\n' || c == '\r'; }

// The contraction at `p` (which holds an apostrophe): its length, or 0. Folding case, U+017F (long s) is an s.
template <bool kFoldCase>
int contraction_length(const char* p, const char* end) {
  const auto letter = [&](ptrdiff_t i) -> char {
    if (end - p <= i) return 0;
    const char c = p[i];
    return kFoldCase && c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  };
  const char a = letter(1), b = letter(2);
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
  if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) return 3;
  if (kFoldCase && a == '\xC5' && b == '\xBF') return 3;
  return 0;
}

// `\s+(?!\S)|\s+` for the white space at p: the whole run at the end of the text, else all but the run's last character,
// which the next piece may take as its prefix; a single character stands alone.
const char* white_space_piece(const char* p, const char* run_end, const char* end, const char* last) {
  return run_end == end || last == p ? run_end : last;
}

template <int kMaxDigits>
const char* scan_qwen(const char* p, const char* end) {
  const Char first = char_at(p);
  if (*p == '\'')
    if (const int n = contraction_length<true>(p, end)) return p + n;
  const char* after = p + first.length;
  if (first.cls == kLetter) return skip_run(after, end, kLetter);
  if (first.cls == kNumber) {
    for (int i = 1; i < kMaxDigits && after < end; ++i) {
      const Char c = char_at(after);
      if (c.cls != kNumber) break;
      after += c.length;
    }
    return after;
  }
  const Char second = after < end ? char_at(after) : Char{kSpace, 0};
  if (second.cls == kLetter && !is_newline(*p)) return skip_run(after + second.length, end, kLetter);
  if (first.cls == kOther || (*p == ' ' && second.cls == kOther && after < end)) {
    after = skip_run(after, end, kOther);
    while (after < end && is_newline(*after)) ++after;
    return after;
  }
  const char *q = p, *last = p, *after_newline = nullptr;
  while (q < end) {
    const Char c = char_at(q);
    if (c.cls != kSpace) break;
    last = q;
    q += c.length;
    if (is_newline(*last)) after_newline = q;
  }
  return after_newline ? after_newline : white_space_piece(p, q, end, last);
}

const char* scan_gpt2(const char* p, const char* end) {
  if (*p == '\'')
    if (const int n = contraction_length<false>(p, end)) return p + n;
  const Char first = char_at(p);
  const char* after = p + first.length;
  if (first.cls != kSpace) return skip_run(after, end, first.cls);
  if (*p == ' ' && after < end) {
    const Char second = char_at(after);
    if (second.cls != kSpace) return skip_run(after + second.length, end, second.cls);
  }
  const char *q = p, *last = p;
  while (q < end) {
    const Char c = char_at(q);
    if (c.cls != kSpace) break;
    last = q;
    q += c.length;
  }
  return white_space_piece(p, q, end, last);
}

}  // namespace

Scanner scanner_of(PreTokenizer pre) {
  switch (pre) {
    case PreTokenizer::Qwen2: return scan_qwen<1>;
    case PreTokenizer::Llama3: return scan_qwen<3>;
    case PreTokenizer::Gpt2: return scan_gpt2;
  }
  TEENY_ASSERT(!"pre-tokenizer");
  return nullptr;
}

std::string_view pattern_of(PreTokenizer pre) {
  switch (pre) {
    case PreTokenizer::Qwen2: return kQwen2Pattern;
    case PreTokenizer::Llama3: return kLlama3Pattern;
    case PreTokenizer::Gpt2: return kGpt2Pattern;
  }
  TEENY_ASSERT(!"pre-tokenizer");
  return {};
}

}  // namespace teeny
