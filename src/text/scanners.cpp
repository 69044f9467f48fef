#include "text/scanners.h"

#include <array>
#include <cstring>

#include "text/char_class.h"
#include "text/utf8.h"

namespace teeny {
namespace {

constexpr std::array<CharClass, 128> ascii_classes() {
  std::array<CharClass, 128> table{};
  for (unsigned c = 0; c < 128; ++c) {
    if (c >= 'a' && c <= 'z') table[c] = kLetter | kLower;
    if (c >= 'A' && c <= 'Z') table[c] = kLetter | kUpper;
    if (c >= '0' && c <= '9') table[c] = kNumber;
    if (c == ' ' || (c >= '\t' && c <= '\r')) table[c] = kSpace;
    if (c > ' ' && c < 127 && table[c] == 0) table[c] = kPunctuation;
  }
  for (const char c : {'$', '+', '<', '=', '>', '^', '`', '|', '~'}) table[static_cast<size_t>(c)] = kSymbol;
  return table;
}
constexpr auto kAscii = ascii_classes();

constexpr CharClass kWord = kLetter | kNumber | kSpace;  // what `[^\s\p{L}\p{N}]` leaves out

struct Char {
  CharClass cls;
  int length;
  bool is(CharClass mask) const { return (cls & mask) != 0; }
};

inline Char char_at(const char* p) {
  const auto c = static_cast<unsigned char>(*p);
  if (c < 0x80) return {kAscii[c], 1};
  static const CharClasses& classes = CharClasses::instance();
  int length = 0;
  const uint32_t code_point = decode_utf8(p, length);
  return {classes.of(code_point), length};
}

// Past the characters that have (kWanted: one of, else: none of) the flags.
template <bool kWanted>
inline const char* skip_run(const char* p, const char* end, CharClass flags) {
  while (p < end) {
    const Char c = char_at(p);
    if (c.is(flags) != kWanted) break;
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

// `\s*[\r\n]+|\s+(?!\S)|\s+` (the first only for kNewlines) for the white space at p: up to its last line break; else the
// whole run at the end of the text; else all but its last character, which the next piece may take as its prefix.
template <bool kNewlines>
const char* white_space_piece(const char* p, const char* end) {
  const char *q = p, *last = p, *after_newline = nullptr;
  while (q < end) {
    const Char c = char_at(q);
    if (!c.is(kSpace)) break;
    last = q;
    q += c.length;
    if (kNewlines && is_newline(*last)) after_newline = q;
  }
  if (after_newline) return after_newline;
  return q == end || last == p ? q : last;
}

const char* number_piece(const char* after, const char* end, int max_digits) {
  for (int i = 1; i < max_digits && after < end; ++i) {
    const Char c = char_at(after);
    if (!c.is(kNumber)) break;
    after += c.length;
  }
  return after;
}

// kLetters: what words consist of, kLetter or kLetter | kMark. Runs of anything else exclude exactly those.
template <int kMaxDigits, CharClass kLetters>
const char* scan_qwen(const char* p, const char* end) {
  const Char first = char_at(p);
  if (*p == '\'')
    if (const int n = contraction_length<true>(p, end)) return p + n;
  const char* after = p + first.length;
  if (first.is(kLetters)) return skip_run<true>(after, end, kLetters);
  if (first.is(kNumber)) return number_piece(after, end, kMaxDigits);
  const Char second = after < end ? char_at(after) : Char{kSpace, 0};
  if (second.is(kLetters) && !is_newline(*p)) return skip_run<true>(after + second.length, end, kLetters);
  if (!first.is(kWord) || (*p == ' ' && !second.is(kWord | kLetters) && after < end)) {
    after = skip_run<false>(after, end, kWord | kLetters);
    while (after < end && is_newline(*after)) ++after;
    return after;
  }
  return white_space_piece<true>(p, end);
}

// `A*B+` at p, A being upper case, B lower case, and both the letters without case and the marks; null: no match.
const char* upper_then_lower(const char* p, const char* end) {
  const char* both_end = nullptr;  // behind the last character so far that is A and B
  while (p < end) {
    const Char c = char_at(p);
    if (!c.is(kLetter | kMark)) break;
    p += c.length;
    if (c.is(kLower)) {  // the first one that is not A; B goes on from here
      while (p < end) {
        const Char next = char_at(p);
        if (!next.is(kLetter | kMark) || next.is(kUpper)) break;
        p += next.length;
      }
      return p;
    }
    if (!c.is(kUpper)) both_end = p;
  }
  return both_end;
}

// `A+B*` at p, where upper_then_lower did not match: then all letters there are upper case.
const char* upper_run(const char* p, const char* end) {
  const char* stop = skip_run<true>(p, end, kUpper);
  return stop == p ? nullptr : stop;
}

template <int kMaxDigits, bool kContractions>
const char* scan_cased(const char* p, const char* end) {
  const Char first = char_at(p);
  const char *after = p + first.length, *stop = nullptr;
  const bool prefix = !first.is(kLetter | kNumber) && !is_newline(*p);
  for (const auto match : {upper_then_lower, upper_run}) {
    if (!stop && prefix) stop = match(after, end);
    if (!stop) stop = match(p, end);
  }
  if (stop) {
    if (kContractions && stop < end && *stop == '\'') stop += contraction_length<true>(stop, end);
    return stop;
  }
  if (first.is(kNumber)) return number_piece(after, end, kMaxDigits);
  if (!first.is(kWord) || (*p == ' ' && after < end && !char_at(after).is(kWord))) {
    after = skip_run<false>(after, end, kWord);
    while (after < end && (is_newline(*after) || *after == '/')) ++after;
    return after;
  }
  return white_space_piece<true>(p, end);
}

// For a pattern that does not match everywhere: the match at p, or all that stands before the next match.
template <class Match>
const char* match_or_gap(const char* p, const char* end, Match&& match) {
  if (const char* stop = match(p, end)) return stop;
  for (p += char_at(p).length; p < end && !match(p, end); p += char_at(p).length) {}
  return p;
}

inline bool is_ascii_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

const char* match_deepseek(const char* p, const char* end) {
  const Char first = char_at(p);
  const char* after = p + first.length;
  const bool sign = first.is(kPunctuation | kSymbol);
  if (sign && static_cast<unsigned char>(*p) < 0x80 && after < end && is_ascii_letter(*after)) {
    while (after < end && is_ascii_letter(*after)) ++after;
    return after;
  }
  if (first.is(kLetter | kMark)) return skip_run<true>(after, end, kLetter | kMark);
  const Char second = after < end ? char_at(after) : Char{0, 0};
  if (!sign && !is_newline(*p) && second.is(kLetter | kMark)) return skip_run<true>(after + second.length, end, kLetter | kMark);
  if (sign || (*p == ' ' && second.is(kPunctuation | kSymbol))) {
    after = skip_run<true>(after, end, kPunctuation | kSymbol);
    while (after < end && is_newline(*after)) ++after;
    return after;
  }
  return first.is(kSpace) ? white_space_piece<true>(p, end) : nullptr;
}

bool is_cjk(uint32_t c) { return (c >= 0x4E00 && c <= 0x9FA5) || (c >= 0x3040 && c <= 0x30FF); }

constexpr char kMarker[] = "\xE2\x96\x81";  // U+2581

inline bool marker_at(const char* p, const char* end) { return end - p >= 3 && std::memcmp(p, kMarker, 3) == 0; }

const char* next_marker(const char* p, const char* end) {
  while (p < end) {
    p = static_cast<const char*>(std::memchr(p, kMarker[0], static_cast<size_t>(end - p)));
    if (!p) return end;
    if (marker_at(p, end)) return p;
    ++p;
  }
  return end;
}

}  // namespace

const char* scan_qwen2(const char* p, const char* end) { return scan_qwen<1, kLetter>(p, end); }
const char* scan_llama3(const char* p, const char* end) { return scan_qwen<3, kLetter>(p, end); }
const char* scan_qwen35(const char* p, const char* end) { return scan_qwen<1, kLetter | kMark>(p, end); }
const char* scan_tekken(const char* p, const char* end) { return scan_cased<1, false>(p, end); }
const char* scan_gpt4o(const char* p, const char* end) { return scan_cased<3, true>(p, end); }

const char* scan_gpt2(const char* p, const char* end) {
  if (*p == '\'')
    if (const int n = contraction_length<false>(p, end)) return p + n;
  const auto run = [end](const char* at, Char c) {
    const CharClass kind = c.cls & kWord;
    return kind ? skip_run<true>(at + c.length, end, kind) : skip_run<false>(at + c.length, end, kWord);
  };
  const Char first = char_at(p);
  if (!first.is(kSpace)) return run(p, first);
  if (*p == ' ' && p + 1 < end)
    if (const Char second = char_at(p + 1); !second.is(kSpace)) return run(p + 1, second);
  return white_space_piece<false>(p, end);
}

const char* scan_digit(const char* p, const char* end) {
  return match_or_gap(p, end, [](const char* at, const char*) -> const char* {
    int length = 0;
    return is_digit_char(decode_utf8(at, length)) ? at + length : nullptr;
  });
}

const char* scan_three_numbers(const char* p, const char* end) {
  return match_or_gap(p, end, [](const char* at, const char* stop) -> const char* {
    const Char c = char_at(at);
    return c.is(kNumber) ? number_piece(at + c.length, stop, 3) : nullptr;
  });
}

const char* scan_cjk(const char* p, const char* end) {
  return match_or_gap(p, end, [](const char* at, const char* stop) -> const char* {
    const char* q = at;
    for (int length = 0; q < stop && is_cjk(decode_utf8(q, length)); q += length) {}
    return q == at ? nullptr : q;
  });
}

const char* scan_deepseek_words(const char* p, const char* end) { return match_or_gap(p, end, match_deepseek); }

const char* scan_marked_words(const char* p, const char* end) { return next_marker(p + char_at(p).length, end); }

const char* scan_marked_runs(const char* p, const char* end) {
  while (marker_at(p, end)) p += 3;
  return next_marker(p, end);
}

}  // namespace teeny
