#include "text/jinja_canonical.h"

#include <algorithm>
#include <cctype>
#include <cstddef>

namespace teeny {
namespace {

struct Lexeme {
  bool is_string;
  std::string text;
};

bool is_name_char(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

// Reads the quoted string at `at` and moves past it.
bool read_string(std::string_view s, size_t& at, std::string& out) {
  const char quote = s[at++];
  for (; at < s.size() && s[at] != quote; ++at) {
    char c = s[at];
    if (c == '\\') {
      if (++at >= s.size()) return false;
      constexpr std::string_view kFrom = "ntr\\'\"", kTo = "\n\t\r\\'\"";
      const size_t which = kFrom.find(s[at]);
      if (which == std::string_view::npos) return false;  // \x.., \u..: no known template has one
      c = kTo[which];
    }
    out.push_back(c);
  }
  return at++ < s.size();
}

bool lex_expression(std::string_view s, std::vector<Lexeme>& out) {
  for (size_t at = 0; at < s.size();) {
    if (std::isspace(static_cast<unsigned char>(s[at]))) {
      ++at;
    } else if (s[at] == '\'' || s[at] == '"') {
      std::string text;
      if (!read_string(s, at, text)) return false;
      out.push_back({true, std::move(text)});
    } else {
      size_t end = at + 1;
      if (is_name_char(s[at])) {
        while (end < s.size() && is_name_char(s[end])) ++end;
      } else if (end < s.size() && s[end] == '=') {
        ++end;  // == != <= >=
      }
      out.push_back({false, std::string(s.substr(at, end - at))});
      at = end;
    }
  }
  // x['y'] -> x.y
  for (size_t i = 1; i + 2 < out.size(); ++i)
    if (!out[i].is_string && out[i].text == "[" && out[i + 1].is_string && !out[i + 2].is_string && out[i + 2].text == "]") {
      const std::string name = out[i + 1].text;
      if (name.empty() || !std::all_of(name.begin(), name.end(), is_name_char)) continue;
      out[i].text.assign(1, '.');
      out[i + 1] = {false, name};
      out.erase(out.begin() + static_cast<ptrdiff_t>(i) + 2);
    }
  return true;
}

std::string print(const std::vector<Lexeme>& lexemes, size_t first, size_t last) {
  std::string out;
  for (size_t i = first; i < last; ++i) {
    if (i > first) out.push_back(' ');
    // A string's own quote is doubled, so that no two different lists print alike.
    if (!lexemes[i].is_string) {
      out += lexemes[i].text;
      continue;
    }
    out.push_back('\'');
    for (const char c : lexemes[i].text) out.append(c == '\'' ? 2 : 1, c);
    out.push_back('\'');
  }
  return out;
}

void add_literal(std::vector<TemplateToken>& tokens, std::string_view text) {
  if (text.empty()) return;
  if (!tokens.empty() && tokens.back().kind == TemplateToken::Literal) tokens.back().text += text;
  else tokens.push_back({TemplateToken::Literal, std::string(text)});
}

void add_output(std::vector<TemplateToken>& tokens, const std::vector<Lexeme>& lexemes) {
  int depth = 0;
  size_t first = 0;
  for (size_t i = 0; i <= lexemes.size(); ++i) {
    const bool end = i == lexemes.size();
    const std::string_view text = end || lexemes[i].is_string ? "" : std::string_view(lexemes[i].text);
    if (text == "(" || text == "[" || text == "{") ++depth;
    if (text == ")" || text == "]" || text == "}") --depth;
    if (!end && !(text == "+" && depth == 0)) continue;
    if (i == first + 1 && lexemes[first].is_string) add_literal(tokens, lexemes[first].text);
    else tokens.push_back({TemplateToken::Output, print(lexemes, first, i)});
    first = i + 1;
  }
}

// Where the tag whose content starts at `at` closes (quotes respected), npos when it does not.
size_t find_close(std::string_view s, size_t at, std::string_view close) {
  while (at < s.size()) {
    if (s.substr(at, 2) == close) return at;
    std::string ignored;
    if (close != "#}" && (s[at] == '\'' || s[at] == '"')) {
      if (!read_string(s, at, ignored)) return std::string_view::npos;
    } else {
      ++at;
    }
  }
  return std::string_view::npos;
}

void strip_right(std::string_view& text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back()))) text.remove_suffix(1);
}
void strip_left(std::string_view& text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front()))) text.remove_prefix(1);
}
// lstrip_blocks: blanks between the start of the line and a block go. `line_start`: the text begins at one.
void strip_indent(std::string_view& text, bool line_start) {
  const size_t keep = text.find_last_not_of(" \t");
  if (keep == std::string_view::npos ? line_start : text[keep] == '\n') text = text.substr(0, keep + 1);
}

// Where the next {{, {% or {# is, npos when there is none.
size_t find_open(std::string_view s) {
  for (size_t at = s.find('{'); at != std::string_view::npos; at = s.find('{', at + 1))
    if (at + 1 < s.size() && std::string_view("{%#").find(s[at + 1]) != std::string_view::npos) return at;
  return std::string_view::npos;
}

bool scan(std::string_view s, std::vector<TemplateToken>& tokens) {
  bool line_start = true, trim_next = false, trim_newline = false;
  while (true) {
    const size_t open = find_open(s);
    std::string_view text = s.substr(0, open);
    if (trim_next) strip_left(text);
    else if (trim_newline && text.starts_with('\n')) text.remove_prefix(1), line_start = true;
    if (open == std::string_view::npos) return add_literal(tokens, text), true;
    const char kind = s[open + 1];
    const size_t start = open + 2;
    const size_t close = find_close(s, start, kind == '{' ? "}}" : kind == '%' ? "%}" : "#}");
    if (close == std::string_view::npos) return false;
    std::string_view inner = s.substr(start, close - start);
    bool keep_indent = kind == '{';
    if (inner.starts_with('-')) strip_right(text), inner.remove_prefix(1);
    else if (inner.starts_with('+')) keep_indent = true, inner.remove_prefix(1);
    if (!keep_indent) strip_indent(text, line_start);
    trim_next = inner.ends_with('-');
    trim_newline = kind != '{' && !inner.ends_with('+');
    if (trim_next || inner.ends_with('+')) inner.remove_suffix(1);
    add_literal(tokens, text);
    std::vector<Lexeme> lexemes;
    if (kind != '#' && !lex_expression(inner, lexemes)) return false;
    if (kind == '%') tokens.push_back({TemplateToken::Tag, print(lexemes, 0, lexemes.size())});
    if (kind == '{') add_output(tokens, lexemes);
    line_start = false;
    s.remove_prefix(close + 2);
  }
}

bool is_tag(const TemplateToken& token, std::string_view word) {
  return token.kind == TemplateToken::Tag && token.text.starts_with(word) && (token.text.size() == word.size() || token.text[word.size()] == ' ');
}

// The next elif, else or endif of the `if` whose body starts at `at`; tokens.size() when there is none.
size_t branch_end(const std::vector<TemplateToken>& tokens, size_t at) {
  for (int depth = 0; at < tokens.size(); ++at) {
    if (depth == 0 && (is_tag(tokens[at], "elif") || is_tag(tokens[at], "else") || is_tag(tokens[at], "endif"))) return at;
    if (is_tag(tokens[at], "if")) ++depth;
    if (is_tag(tokens[at], "endif")) --depth;
  }
  return at;
}

// Drops the branch of `if tools`; its else branch stays, without the tags.
bool drop_tools(std::vector<TemplateToken>& tokens) {
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] != TemplateToken{TemplateToken::Tag, "if tools"}) continue;
    const auto at = [&](size_t k) { return tokens.begin() + static_cast<ptrdiff_t>(k); };
    const size_t end = branch_end(tokens, i + 1);
    if (end == tokens.size() || is_tag(tokens[end], "elif")) return false;
    if (is_tag(tokens[end], "else")) {
      const size_t last = branch_end(tokens, end + 1);
      if (last == tokens.size()) return false;
      tokens.erase(at(last));
    }
    tokens.erase(at(i), at(end + 1));
    --i;
  }
  return true;
}

}  // namespace

bool canonical_template(std::string_view jinja, std::vector<TemplateToken>& tokens) {
  if (jinja.ends_with('\n')) jinja.remove_suffix(1);
  std::vector<TemplateToken> raw;
  if (!scan(jinja, raw) || !drop_tools(raw)) return false;
  tokens.clear();
  for (auto& token : raw) {  // literals that have become neighbours join
    if (token.kind == TemplateToken::Literal) add_literal(tokens, token.text);
    else tokens.push_back(std::move(token));
  }
  return true;
}

}  // namespace teeny
