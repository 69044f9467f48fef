#include "teeny/core/json.h"

#include <unordered_set>

#include "teeny/core/error.h"
#include "teeny/core/file.h"

namespace teeny {
namespace {
constexpr size_t kMaxDepth = 64;

// A SAX pass that builds the tree through nlohmann's own builder and refuses what the builder would accept silently.
class StrictBuilder : public nlohmann::detail::json_sax_dom_parser<Json> {
  using Base = nlohmann::detail::json_sax_dom_parser<Json>;

 public:
  explicit StrictBuilder(Json& root) : Base(root, true) {}
  bool start_object(std::size_t n) {
    enter();
    keys_.emplace_back();
    return Base::start_object(n);
  }
  bool end_object() {
    keys_.pop_back();
    --depth_;
    return Base::end_object();
  }
  bool start_array(std::size_t n) {
    enter();
    return Base::start_array(n);
  }
  bool end_array() {
    --depth_;
    return Base::end_array();
  }
  bool key(std::string& name) {
    if (!keys_.back().insert(name).second) throw std::runtime_error(fmt::format("key \"{}\" stands twice in one object", name));
    return Base::key(name);
  }

 private:
  void enter() {
    if (++depth_ > kMaxDepth) throw std::runtime_error(fmt::format("nested deeper than {} levels", kMaxDepth));
  }
  size_t depth_ = 0;
  std::vector<std::unordered_set<std::string>> keys_;
};
}  // namespace

Json parse_json(std::string_view text, std::string_view where, std::string_view subject) {
  Json root;
  try {
    StrictBuilder builder(root);
    Json::sax_parse(text.begin(), text.end(), &builder);
  } catch (const std::exception& e) {
    throw input_error(where, subject, "is not valid JSON: {}", e.what());
  }
  return root;
}

Json read_json_file(const std::string& path, std::string_view where, uint64_t max_bytes) {
  return parse_json(read_file(path, max_bytes), where, path);
}

std::string dump_json(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace teeny
