#include "cli/completion.h"

#include <fmt/format.h>

#include "cli/command.h"
#include "teeny/core/error.h"

namespace teeny::cli {
namespace {

bool is_option(const OptionInfo& info) { return info.names.back()[0] == '-'; }

// A help text inside single quotes of a shell, without what zsh's _arguments takes for itself.
std::string plain(const std::string& text) {
  std::string out;
  for (char c : text) out += c == '\'' || c == '"' || c == '`' || c == '$' || c == '\\' ? ' ' : c == ':' ? ',' : c == '[' || c == ']' ? ' ' : c;
  return out;
}

std::string all_names(const Options& options) {
  std::string names = "--help";
  for (const auto& info : options.table())
    if (is_option(*info))
      for (const auto& name : info->names) names += " " + name;
  return names;
}

std::string bash(const std::vector<Declared>& commands) {
  std::string words, cases, values;
  for (const auto& [command, common, options] : commands) {
    words += (words.empty() ? "" : " ") + options->command();
    std::string positional;
    for (const auto& info : options->table()) {
      if (!is_option(*info)) {
        positional = info->choices.empty() ? " files=1" : fmt::format(" words=\"$words {}\"", fmt::join(info->choices, " "));
        continue;
      }
      const std::string pattern = fmt::format("{}", fmt::join(info->names, "|"));
      if (!info->choices.empty())
        values += fmt::format("    {}:{}) words=\"{}\" ;;\n", options->command(), pattern, fmt::join(info->choices, " "));
      else if (info->takes == Takes::File || info->takes == Takes::Directory)
        values += fmt::format("    {}:{}) files=1 ;;\n", options->command(), pattern);
      else if (info->takes != Takes::Nothing)
        values += fmt::format("    {}:{}) return ;;\n", options->command(), pattern);
    }
    cases += fmt::format("      {}) words=\"{}\"{} ;;\n", options->command(), all_names(*options), positional);
  }
  // "command:name1|name2" patterns: the command stands before each alternative.
  std::string expanded;
  for (size_t start = 0; start < values.size();) {
    const size_t end = values.find('\n', start);
    std::string line = values.substr(start, end - start);
    const size_t colon = line.find(':'), close = line.find(')');
    const std::string command = line.substr(4, colon - 4);
    std::string names = line.substr(colon + 1, close - colon - 1), all;
    for (size_t bar; (bar = names.find('|')) != std::string::npos; names.erase(0, bar + 1)) all += command + ":" + names.substr(0, bar) + "|";
    expanded += "    " + all + command + ":" + names + line.substr(close) + "\n";
    start = end + 1;
  }
  return fmt::format(R"(# bash completion of teeny; made by 'teeny completion bash'
_teeny() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" previous="${{COMP_WORDS[COMP_CWORD-1]}}" command="${{COMP_WORDS[1]}}" words="" files=""
  COMPREPLY=()
  if [[ $COMP_CWORD -eq 1 ]]; then
    COMPREPLY=($(compgen -W "{} help --help --version" -- "$current"))
    return
  fi
  case "$command:$previous" in
{}    *) case "$command" in
{}    esac ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  [[ -n $files ]] && COMPREPLY+=($(compgen -f -- "$current"))
}}
complete -o filenames -F _teeny teeny
)",
                     words, expanded, cases);
}

std::string zsh_action(const OptionInfo& info) {
  if (!info.choices.empty()) return info.list ? fmt::format("_values -s , value {}", fmt::join(info.choices, " ")) : fmt::format("({})", fmt::join(info.choices, " "));
  if (info.takes == Takes::Directory) return "_files -/";
  return info.takes == Takes::File ? "_files" : " ";
}

std::string zsh(const std::vector<Declared>& commands) {
  std::string described, cases;
  for (const auto& [command, common, options] : commands) {
    described += fmt::format("    '{}:{}'\n", options->command(), plain(options->summary()));
    cases += fmt::format("    {})\n      _arguments \\\n", options->command());
    for (const auto& info : options->table()) {
      if (!is_option(*info)) {
        cases += fmt::format("        '*:{}:{}' \\\n", plain(info->help), zsh_action(*info));
        continue;
      }
      for (const auto& name : info->names)
        cases += info->takes == Takes::Nothing ? fmt::format("        '{}[{}]' \\\n", name, plain(info->help))
                                               : fmt::format("        '{}=[{}]:{}:{}' \\\n", name, plain(info->help), plain(info->metavar), zsh_action(*info));
    }
    cases += "        '--help[show help]'\n      ;;\n";
  }
  return fmt::format(R"(#compdef teeny
# zsh completion of teeny; made by 'teeny completion zsh'
_teeny() {{
  local -a commands
  commands=(
{}  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case $command in
{}  esac
}}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _teeny "$@"; else compdef _teeny teeny; fi
)",
                     described, cases);
}

std::string fish(const std::vector<Declared>& commands) {
  std::string out = "# fish completion of teeny; made by 'teeny completion fish'\ncomplete -c teeny -f\n";
  for (const auto& [command, common, options] : commands) {
    out += fmt::format("complete -c teeny -n __fish_use_subcommand -a {} -d '{}'\n", options->command(), plain(options->summary()));
    const std::string when = fmt::format("complete -c teeny -n '__fish_seen_subcommand_from {}'", options->command());
    for (const auto& info : options->table()) {
      if (!is_option(*info)) {
        out += info->choices.empty() ? when + " -F\n" : fmt::format("{} -a '{}'\n", when, fmt::join(info->choices, " "));
        continue;
      }
      std::string names;
      for (const auto& name : info->names) names += name.rfind("--", 0) == 0 ? " -l " + name.substr(2) : " -s " + name.substr(1);
      std::string takes = info->takes == Takes::Nothing ? "" : !info->choices.empty() ? fmt::format(" -x -a '{}'", fmt::join(info->choices, " "))
                          : info->takes == Takes::File || info->takes == Takes::Directory ? " -r -F" : " -x";
      out += fmt::format("{}{}{} -d '{}'\n", when, names, takes, plain(info->help));
    }
  }
  return out;
}

}  // namespace

std::string completion_script(const std::vector<std::string>& shells) {
  if (shells.size() != 1) throw usage_error("usage", "completion", "takes one shell: bash, zsh or fish");
  std::vector<Declared> commands;
  for (const auto& entry : command_table()) commands.push_back(declare(entry));
  const std::string shell = parse_choice(shells[0], {"bash", "zsh", "fish"}, "completion");
  return shell == "bash" ? bash(commands) : shell == "zsh" ? zsh(commands) : fish(commands);
}

}  // namespace teeny::cli
