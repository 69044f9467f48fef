// What the judge needs to know of a language. A new language is one file that defines a Language, and one line in the
// registry of language.cpp.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "teeny/judge/judge.h"

namespace teeny::judge {

// A program or file that a language needs beside its main one.
struct Companion {
  const char* name;                // in messages
  std::vector<std::string> tried;  // absolute paths, or names looked up in PATH
};

// A language is judged by two processes with one protocol. Frames are a 4-byte little-endian length and a payload whose
// first byte is its kind; strings inside are netstrings ("<length>:<bytes>").
//   to the worker    P entry source            C call       (compiled languages: P is the compiler's output as it is)
//   from the worker  L kind name message       R reply      (kind "ok" or why the program could not be loaded)
//   to the driver    J nonce entry prompt test timeout      R reply      (compiled: P first, the compiled test)
//   from the driver  C call                    V nonce kind name message
// Calls and replies pass through the judge unread. Both processes have the channel at descriptors 3 (read), 4 (write).
// Kinds: ok, wrong, syntax, truncated, name, type, exception, memory, refused, unsupported.
//
// A compiled language adds a compiler: a process in a sandbox of its own that reads a source at descriptor 3 up to its
// end, writes its output to descriptor 4, what it complains about to stderr, and exits with 0 when it succeeded. Program
// and test are compiled apart, so that neither the compiler nor the linker ever sees both.

// Where a set without the field "entry_point" names the function: in the test, else in the prompt, the last name between two
// texts ("" before it: the start of a line). Without prompt_after: the head of the function that ends the prompt.
struct EntryMarks {
  const char *test_before = nullptr, *test_after = nullptr, *prompt_before = nullptr, *prompt_after = nullptr;
};

struct Language {
  using Tools = std::vector<std::string>;  // the main program's path, then the companions' paths
  std::string id;
  std::vector<std::string> preferred;      // absolute paths tried before PATH
  std::vector<std::string> executables;    // names looked up in PATH
  std::vector<Companion> companions;
  std::string packages;                    // of Debian, for messages
  std::vector<std::string> folders;        // system folders beyond /usr that its runtime reads; "*" at the end: all such
  std::vector<std::string> stops;
  std::vector<std::string> version_arguments;
  std::vector<std::string> (*worker)(const Tools&) = nullptr;  // whole command lines
  std::vector<std::string> (*driver)(const Tools&) = nullptr;
  std::vector<std::string> (*compiler)(const Tools&) = nullptr;
  // The sources of a compiled language. A test that cannot be put so throws Input: the problem is then not run.
  std::string (*worker_source)(const Problem&, const std::string& program) = nullptr;
  std::string (*driver_source)(const Problem&) = nullptr;  // "": the test needs no compiling
  std::string (*test_text)(const Problem&) = nullptr;      // what the driver gets; null: the test without its closing
  uint64_t address_space = 0;              // RLIMIT_AS in bytes; what the runtime reserves counts too; 0: no limit
  int processes = 32;                      // and threads
  double startup_cpu_s = 0;                // CPU time of the runtime itself, on top of the program's
  bool starts_processes = false;           // needs a tier in which programs may do that
  bool one_shot_driver = false;            // a driver judges one program
  EntryMarks entry;
  // Where the runtime itself says why a program died: kind by a text of its stderr, the first that is found.
  std::vector<std::pair<const char*, const char*>> complaints;
  bool complaints_explain = false;         // also a wrong answer: a call that fails just prints less
};

const std::vector<Language>& languages();
const Language* find_language(std::string_view id);

Language python_language();
Language javascript_language();
Language typescript_language();
Language php_language();
Language shell_language();
Language cpp_language();
Language java_language();
Language csharp_language();

std::string netstring(std::string_view text);
std::vector<std::string> netstrings(std::string_view payload);  // stops at the first malformed one

// Sets made by MultiPL-E leave the end of the function to the test: what must follow a completion for it to be whole, and
// the test without it.
std::string closing(const Problem& problem);
std::string test_without_closing(const Problem& problem);

// The problem's prelude, with the import of numpy where the program uses it (a tenth of a second that most do not need).
std::string prelude_for(const Problem& problem, std::string_view body);

// The part of a prompt before its last line that is not blank, and that line (the signature that it leaves open).
struct OpenedPrompt {
  std::string preamble, signature;
};
OpenedPrompt split_prompt(const std::string& prompt);

// A command that takes the compiler's output out of frame P, stores it at /tmp/program and goes on with `command`.
std::vector<std::string> load_then(const std::string& command);

}  // namespace teeny::judge
