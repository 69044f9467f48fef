#include "family/family.h"
#include "teeny/family/tokenizer_source.h"

namespace teeny {

std::shared_ptr<ChatTemplate> load_chat_template(const TensorSource& source) {
  const auto templates = read_chat_templates(source);
  if (templates.empty()) return nullptr;
  const auto directory = companion_directory(source);
  return recognise_chat_template(templates[0].second, directory.empty() ? source.path() : directory);
}

}  // namespace teeny
