#include "cli/render.h"
#include "cli/text.h"
#include "teeny/core/log.h"

namespace teeny::cli {

// The text and a newline. On a terminal, control characters that a model wrote are shown, not obeyed.
std::string render_generate(const Json& record, bool terminal) {
  std::string text = text_at(record, {"generate", "text"});
  if (terminal) text = printable(text, true);
  if (text.empty() || text.back() != '\n') text += '\n';
  return text;
}

}  // namespace teeny::cli
