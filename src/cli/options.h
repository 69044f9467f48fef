// One subcommand's options: declared once, used for parsing (CLI11), for --help and for shell completion. Only
// options.cpp sees CLI11's headers.
#pragma once
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace teeny::cli {

enum class Takes { Nothing, Text, Number, Choice, File, Directory };

struct OptionInfo {
  std::vector<std::string> names;  // "-v", "--verbose"; a positional has its metavar only
  std::string metavar, help, group, shown_default;
  std::vector<std::string> choices;
  Takes takes = Takes::Nothing;
  bool required = false, list = false;
  const std::string& long_name() const { return names.back(); }
};

using Names = std::vector<std::string>;
inline constexpr int64_t kNoMaximum = std::numeric_limits<int64_t>::max();
inline constexpr double kInfinite = std::numeric_limits<double>::infinity();

// Thrown by parse() for --help.
struct HelpRequested {};

class Options {
 public:
  Options(std::string command, std::string summary, std::vector<std::string> examples);
  ~Options();
  Options(const Options&) = delete;
  Options& operator=(const Options&) = delete;

  void group(std::string title) { group_ = std::move(title); }  // of the options declared after it

  // Each sets its target when the option is given; the target's value at declaration is the default shown.
  OptionInfo& flag(Names names, bool& target, std::string help, bool value = true);
  OptionInfo& flag(Names names, std::optional<bool>& target, std::string help, bool value);
  OptionInfo& text(Names names, std::string& target, std::string metavar, std::string help, Takes takes = Takes::Text);
  OptionInfo& texts(Names names, std::vector<std::string>& target, std::string metavar, std::string help, Takes takes = Takes::Text);  // may be given again
  OptionInfo& choice(Names names, std::string& target, std::vector<std::string> choices, std::string help);
  OptionInfo& integer(Names names, int64_t& target, int64_t low, int64_t high, std::string help);
  OptionInfo& integer(Names names, int& target, int64_t low, int64_t high, std::string help);
  OptionInfo& integer(Names names, uint64_t& target, std::string help);
  OptionInfo& number(Names names, double& target, double low, double high, std::string help);
  OptionInfo& bytes(Names names, uint64_t& target, std::string help);                     // 9GB, 512MiB
  OptionInfo& integers(Names names, std::vector<int64_t>& target, int64_t low, std::string help);
  OptionInfo& choices(Names names, std::vector<std::string>& target, std::vector<std::string> choices, std::string help);
  OptionInfo& positionals(std::string metavar, std::vector<std::string>& target, std::string help);

  void parse(const std::vector<std::string>& args);  // throws Error Usage, HelpRequested
  bool given(const std::string& name) const;          // after parse(): was it typed?
  std::string value(const std::string& name) const;   // the text typed for it, empty when absent
  std::string help(bool colour) const;

  const std::string& command() const { return command_; }
  const std::string& summary() const { return summary_; }
  const std::vector<std::unique_ptr<OptionInfo>>& table() const { return table_; }

 private:
  using Assign = std::function<void(const std::string& text)>;
  OptionInfo& add(Names names, Takes takes, std::string metavar, std::string help, Assign assign);
  [[noreturn]] void refuse_extras(const std::vector<std::string>& extras) const;

  struct Parser;
  std::unique_ptr<Parser> parser_;
  std::string command_, summary_, group_;
  std::vector<std::string> examples_;
  std::vector<std::unique_ptr<OptionInfo>> table_;
};

// Strict conversions: the whole text must be the value. Usage errors name `subject`.
int64_t parse_integer(const std::string& text, int64_t low, int64_t high, const std::string& subject);
double parse_number(const std::string& text, double low, double high, const std::string& subject);
std::string parse_choice(const std::string& text, const std::vector<std::string>& choices, const std::string& subject);
uint64_t parse_bytes(const std::string& text, const std::string& subject);
std::vector<std::string> split_commas(const std::string& text);

// The candidate nearest to `typed` within a third of its length of edits; empty when none is near.
std::string nearest(const std::string& typed, const std::vector<std::string>& candidates);

}  // namespace teeny::cli
