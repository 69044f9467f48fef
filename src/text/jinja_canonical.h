// A chat template in a form in which two templates that differ only in spelling are equal. Nothing is executed.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace teeny {

struct TemplateToken {
  enum Kind { Literal, Output, Tag } kind;  // text to print, an expression to print, a statement
  std::string text;
  bool operator==(const TemplateToken&) const = default;
};

// White space is treated as transformers renders (trim_blocks, lstrip_blocks); x['y'] becomes x.y; a + b in an output
// becomes two outputs; the branch for `tools`, which teeny never passes, goes. False: not readable as a template.
bool canonical_template(std::string_view jinja, std::vector<TemplateToken>& tokens);

}  // namespace teeny
