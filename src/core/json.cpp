#include "teeny/core/json.h"

#include <unordered_set>

#include "teeny/core/error.h"
#include "teeny/core/file.h"

namespace teeny {
namespace {
constexpr size_t kMaxDepth = 64;

// A SAX pass that builds the tree and refuses what nlohmann's own builder accepts silently. Members are appended, not
// looked up: an ordered object searches its members one by one, which takes a vocabulary of 150,000 tokens 14 s.
class StrictBuilder : public nlohmann::json_sax<Json> {
 public:
  explicit StrictBuilder(Json& root) : root_(root) {}
  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t& value) override { return add(std::move(value)); }
  bool start_object(std::size_t) override {
    keys_.emplace_back();
    return enter(Json::object());
  }
  bool end_object() override {
    keys_.pop_back();
    return leave();
  }
  bool start_array(std::size_t) override { return enter(Json::array()); }
  bool end_array() override { return leave(); }
  bool key(string_t& name) override {
    if (!keys_.back().insert(name).second) throw std::runtime_error(fmt::format("key \"{}\" stands twice in one object", name));
    key_ = std::move(name);
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& e) override { throw std::runtime_error(e.what()); }

 private:
  template <class Value>
  bool add(Value&& value) {
    place(Json(std::forward<Value>(value)));
    return true;
  }
  // Open containers are pointers into the tree: only the innermost grows, so none of them moves.
  Json* place(Json value) {
    if (open_.empty()) return &(root_ = std::move(value));
    Json& parent = *open_.back();
    if (parent.is_array()) return &parent.get_ref<Json::array_t&>().emplace_back(std::move(value));
    auto& members = static_cast<Json::object_t::Container&>(parent.get_ref<Json::object_t&>());
    return &members.emplace_back(std::move(key_), std::move(value)).second;
  }
  bool enter(Json container) {
    if (open_.size() >= kMaxDepth) throw std::runtime_error(fmt::format("nested deeper than {} levels", kMaxDepth));
    open_.push_back(place(std::move(container)));
    return true;
  }
  bool leave() {
    open_.pop_back();
    return true;
  }

  Json& root_;
  string_t key_;
  std::vector<Json*> open_;
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
