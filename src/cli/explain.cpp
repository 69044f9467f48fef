// Whatever was thrown -> exit code and one sentence.
#include <algorithm>
#include <new>

#include "cli/app.h"
#include "cli/signals.h"
#include "cli/text.h"
#include "teeny/core/error.h"
#include "teeny/core/file.h"
#include "teeny/core/log.h"
#include "teeny/record/record.h"

namespace teeny::cli {
namespace {

std::string command_line(const std::vector<std::string>& args) {
  std::string line;
  for (const auto& arg : args) line += fmt::format("{}{}", line.empty() ? "" : " ", shell_quote(arg));
  return line;
}

bool says_out_of_memory(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return char(std::tolower(c)); });
  for (const char* phrase : {"out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory", "bad_alloc"})
    if (text.find(phrase) != std::string::npos) return true;
  return false;
}

// A foreign exception's first line: libtorch adds a stack trace.
std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

int explain_interrupt(const std::vector<std::string>& args, bool resumable, std::string& message) {
  const int signal = interrupted_flag().load() ? interrupted_flag().load() : 2;
  std::string line = command_line(args);
  if (resumable && std::find(args.begin(), args.end(), "--resume") == args.end()) line += " --resume";
  message = fmt::format("[interrupted] signal {}: stopped on request; {}: {}", signal, resumable ? "to continue" : "to start again", line);
  return 128 + signal;
}

constexpr const char* kMemoryAdvice = "close other programs, use a machine with more memory, or make the work smaller (--batch, --seq-len, --samples, --ctx)";

}  // namespace

int explain(std::exception_ptr thrown, const std::vector<std::string>& args, bool resumable, std::string& message) {
  try {
    std::rethrow_exception(thrown);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::Interrupted) return explain_interrupt(args, resumable, message);
    message = printable(error.what());
    return int(error.kind());
  } catch (const std::bad_alloc&) {
    message = fmt::format("[memory] host: out of memory (highest use so far {}); {}", human_bytes(peak_host_bytes()), kMemoryAdvice);
    return int(ErrorKind::Device);
  } catch (const std::exception& error) {
    if (says_out_of_memory(error.what())) {
      message = fmt::format("[memory] device: {}; {}", printable(first_line(error.what())), kMemoryAdvice);
      return int(ErrorKind::Device);
    }
    message = fmt::format("[bug] unexpected: {}; please report it, with this command and the output of 'teeny --version': {}",
                          printable(first_line(error.what())), printable(command_line(args)));
    return int(ErrorKind::Bug);
  } catch (...) {
    message = "[bug] unexpected: something that is no exception was thrown; please report it, with the output of 'teeny --version'";
    return int(ErrorKind::Bug);
  }
}

}  // namespace teeny::cli
