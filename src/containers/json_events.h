// A JSON event handler that refuses everything; parsers override what they expect. Headers may hold a million keys, so
// they are read as events: no tree is built, and memory stays near the size of the text.
#pragma once
#include <string>
#include <string_view>

#include "teeny/core/error.h"
#include "teeny/core/json.h"

namespace teeny {

class JsonEvents {
 public:
  JsonEvents(std::string_view where, std::string_view subject) : where_(where), subject_(subject) {}
  virtual ~JsonEvents() = default;

  virtual bool null() { unexpected("null"); }
  virtual bool boolean(bool) { unexpected("a boolean"); }
  virtual bool number_integer(int64_t value) { unexpected(fmt::format("the negative number {}", value)); }
  virtual bool number_unsigned(uint64_t value) { unexpected(fmt::format("the number {}", value)); }
  virtual bool number_float(double, const std::string& text) { unexpected(fmt::format("the number {}", text.substr(0, 40))); }
  virtual bool string(std::string&) { unexpected("a string"); }
  virtual bool start_object(size_t) { unexpected("an object"); }
  virtual bool end_object() { return true; }
  virtual bool start_array(size_t) { unexpected("an array"); }
  virtual bool end_array() { return true; }
  virtual bool key(std::string&) = 0;
  bool binary(Json::binary_t&) { unexpected("binary data"); }
  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& error) {
    throw input_error(where_, subject_, "is not valid JSON at byte {} of the text: {}", position, error.what());
  }

  // The lexer takes a NUL for the end of the text and skips a byte order mark: both are refused here, before it.
  void parse(std::string_view text) {
    if (!text.starts_with('{')) throw input_error(where_, subject_, "the JSON text does not begin with '{{'");
    if (const auto at = text.find('\0'); at != text.npos)
      throw input_error(where_, subject_, "has a NUL byte at byte {} of the JSON text", at);
    Json::sax_parse(text.begin(), text.end(), this);
  }

 protected:
  virtual std::string place() const = 0;  // "shape of tensor \"x\"": what is being read
  [[noreturn]] void unexpected(const std::string& got) const {
    throw input_error(where_, subject_, "{} must not be {}", place(), got);
  }
  std::string where_, subject_;
};

}  // namespace teeny
