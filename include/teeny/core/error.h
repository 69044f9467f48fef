// The one error type of teeny. The library throws it; only cli turns it into a message and an exit code.
#pragma once
#include <stdexcept>
#include <string>

#include <fmt/format.h>

namespace teeny {

// The value is the process's exit code (docs/cli.md).
enum class ErrorKind { Bug = 1, Usage = 2, Input = 3, Device = 4, Check = 5, Interrupted = 130 };

// what() is "[where] subject: what is wrong, with the values; what to do".
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, std::string_view where, std::string_view subject, std::string_view what)
      : std::runtime_error(fmt::format("[{}] {}: {}", where, subject, what)), kind_(kind) {}
  ErrorKind kind() const { return kind_; }

 private:
  ErrorKind kind_;
};

// throw input_error("gguf", path, "magic is {:#x}, expected GGUF; is this a GGUF file?", magic)
template <class... A>
Error input_error(std::string_view where, std::string_view subject, fmt::format_string<A...> format, A&&... args) {
  return Error(ErrorKind::Input, where, subject, fmt::format(format, std::forward<A>(args)...));
}
template <class... A>
Error usage_error(std::string_view where, std::string_view subject, fmt::format_string<A...> format, A&&... args) {
  return Error(ErrorKind::Usage, where, subject, fmt::format(format, std::forward<A>(args)...));
}
template <class... A>
Error device_error(std::string_view where, std::string_view subject, fmt::format_string<A...> format, A&&... args) {
  return Error(ErrorKind::Device, where, subject, fmt::format(format, std::forward<A>(args)...));
}
template <class... A>
Error check_error(std::string_view where, std::string_view subject, fmt::format_string<A...> format, A&&... args) {
  return Error(ErrorKind::Check, where, subject, fmt::format(format, std::forward<A>(args)...));
}

// A programmer's error, never reachable by user input. Throws kind Bug.
#define TEENY_ASSERT(condition)                                                                                        \
  do {                                                                                                                 \
    if (!(condition))                                                                                                  \
      throw ::teeny::Error(::teeny::ErrorKind::Bug, "assert", __FILE__ ":" + std::to_string(__LINE__),                 \
                           "failed: " #condition "; this is a bug in teeny, please report it");                        \
  } while (0)

}  // namespace teeny
