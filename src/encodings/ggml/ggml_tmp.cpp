#include "encodings/registry.h"
namespace teeny {
std::shared_ptr<const Encoding> make_ggml(const EncodingSpec&) { return nullptr; }
std::vector<EncodingSpec> ggml_examples() { return {}; }
}
