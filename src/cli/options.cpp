#include "cli/options.h"

#include <CLI/CLI.hpp>
#include <set>

#include "teeny/core/error.h"

namespace teeny::cli {

struct Options::Parser {
  CLI::App app;
  std::map<std::string, CLI::Option*> by_name;
  std::set<std::string> repeated;
};

Options::Options(std::string command, std::string summary, std::vector<std::string> examples)
    : parser_(std::make_unique<Parser>()), command_(std::move(command)), summary_(std::move(summary)), examples_(std::move(examples)) {
  parser_->app.set_help_flag();  // --help is ours: it opens with an example
  parser_->app.allow_extras();   // unknown options are ours too: they get a suggestion
}

Options::~Options() = default;

OptionInfo& Options::add(Names names, Takes takes, std::string metavar, std::string help, Assign assign) {
  auto info = std::make_unique<OptionInfo>();
  info->names = std::move(names);
  info->takes = takes;
  info->metavar = std::move(metavar);
  info->help = std::move(help);
  info->group = group_;
  std::string joined;
  for (const auto& name : info->names) joined += (joined.empty() ? "" : ",") + name;
  CLI::Option* option = nullptr;
  if (takes == Takes::Nothing) {
    option = parser_->app.add_flag_callback(joined, [assign] { assign(""); });
  } else {
    option = parser_->app.add_option(joined, [this, assign, name = info->long_name()](const CLI::results_t& results) {
      const bool several = name[0] != '-' || parser_->repeated.count(name);
      // One value: CLI11 2.4 hands on "{}" with marks of its own after it.
      for (const auto& text : several ? results : CLI::results_t{results.front()}) {
        if (name != "--prompt" && parser_->by_name.count(text))
          throw usage_error("usage", name, "needs a value, but '{}' follows; see 'teeny {} --help'", text, command_);
        assign(text);
      }
      return true;
    });
  }
  for (const auto& name : info->names) parser_->by_name[name] = option;
  table_.push_back(std::move(info));
  return *table_.back();
}

OptionInfo& Options::flag(Names names, bool& target, std::string help, bool value) {
  return add(std::move(names), Takes::Nothing, "", std::move(help), [&target, value](const std::string&) { target = value; });
}

OptionInfo& Options::flag(Names names, std::optional<bool>& target, std::string help, bool value) {
  const std::string name = names.back();
  return add(std::move(names), Takes::Nothing, "", std::move(help), [&target, value, name](const std::string&) {
    if (target && *target != value) throw usage_error("usage", name, "contradicts its opposite, which was given too; give one of them");
    target = value;
  });
}

OptionInfo& Options::text(Names names, std::string& target, std::string metavar, std::string help, Takes takes) {
  const std::string name = names.back();
  auto& info = add(std::move(names), takes, std::move(metavar), std::move(help), [&target, name](const std::string& text) {
    if (text.empty() && name != "--prompt") throw usage_error("usage", name, "is empty; give a value or leave the option out");
    target = text;
  });
  info.shown_default = target;
  return info;
}

OptionInfo& Options::texts(Names names, std::vector<std::string>& target, std::string metavar, std::string help, Takes takes) {
  const std::string name = names.back();
  auto& info = add(std::move(names), takes, std::move(metavar), std::move(help), [&target, name](const std::string& text) {
    if (text.empty()) throw usage_error("usage", name, "is empty; give a value or leave the option out");
    target.push_back(text);
  });
  parser_->repeated.insert(name);
  parser_->by_name[name]->expected(1, CLI::detail::expected_max_vector_size)->allow_extra_args(false);  // one value each time
  return info;
}

OptionInfo& Options::choice(Names names, std::string& target, std::vector<std::string> choices, std::string help) {
  const std::string name = names.back();
  auto& info = add(std::move(names), Takes::Choice, "NAME", std::move(help),
                   [&target, choices, name](const std::string& text) { target = parse_choice(text, choices, name); });
  info.shown_default = target;
  info.choices = std::move(choices);
  return info;
}

OptionInfo& Options::integer(Names names, int64_t& target, int64_t low, int64_t high, std::string help) {
  const std::string name = names.back();
  auto& info = add(std::move(names), Takes::Number, "N", std::move(help),
                   [&target, low, high, name](const std::string& text) { target = parse_integer(text, low, high, name); });
  info.shown_default = std::to_string(target);
  return info;
}

OptionInfo& Options::integer(Names names, int& target, int64_t low, int64_t high, std::string help) {
  const std::string name = names.back();
  high = std::min<int64_t>(high, std::numeric_limits<int>::max());
  auto& info = add(std::move(names), Takes::Number, "N", std::move(help),
                   [&target, low, high, name](const std::string& text) { target = int(parse_integer(text, low, high, name)); });
  info.shown_default = std::to_string(target);
  return info;
}

OptionInfo& Options::integer(Names names, uint64_t& target, std::string help) {
  const std::string name = names.back();
  auto& info = add(std::move(names), Takes::Number, "N", std::move(help),
                   [&target, name](const std::string& text) { target = uint64_t(parse_integer(text, 0, kNoMaximum, name)); });
  info.shown_default = std::to_string(target);
  return info;
}

OptionInfo& Options::number(Names names, double& target, double low, double high, std::string help) {
  const std::string name = names.back();
  auto& info = add(std::move(names), Takes::Number, "X", std::move(help),
                   [&target, low, high, name](const std::string& text) { target = parse_number(text, low, high, name); });
  info.shown_default = fmt::format("{:g}", target);
  return info;
}

OptionInfo& Options::bytes(Names names, uint64_t& target, std::string help) {
  const std::string name = names.back();
  return add(std::move(names), Takes::Number, "SIZE", std::move(help),
             [&target, name](const std::string& text) { target = parse_bytes(text, name); });
}

OptionInfo& Options::integers(Names names, std::vector<int64_t>& target, int64_t low, std::string help) {
  const std::string name = names.back();
  auto& info = add(std::move(names), Takes::Number, "N,...", std::move(help), [&target, low, name](const std::string& text) {
    target.clear();
    for (const auto& part : split_commas(text)) target.push_back(parse_integer(part, low, kNoMaximum, name));
  });
  info.shown_default = fmt::format("{}", fmt::join(target, ","));
  info.list = true;
  return info;
}

OptionInfo& Options::choices(Names names, std::vector<std::string>& target, std::vector<std::string> choices, std::string help) {
  const std::string name = names.back();
  auto& info = add(std::move(names), Takes::Choice, "NAME,...", std::move(help), [&target, choices, name](const std::string& text) {
    target.clear();
    for (const auto& part : split_commas(text)) target.push_back(parse_choice(part, choices, name));
  });
  info.shown_default = fmt::format("{}", fmt::join(target, ","));
  info.choices = std::move(choices);
  info.list = true;
  return info;
}

OptionInfo& Options::positionals(std::string metavar, std::vector<std::string>& target, std::string help) {
  auto& info = add({"inputs"}, Takes::File, std::move(metavar), std::move(help), [&target](const std::string& text) { target.push_back(text); });
  parser_->by_name["inputs"]->expected(1, 1 << 20);
  parser_->by_name.erase("inputs");
  info.names.clear();
  info.names.push_back(info.metavar);
  info.list = true;
  return info;
}

void Options::refuse_extras(const std::vector<std::string>& extras) const {
  const auto is_option = [](const std::string& text) { return text.size() > 1 && text[0] == '-'; };
  const auto option = std::find_if(extras.begin(), extras.end(), is_option);
  if (option == extras.end())
    throw usage_error("usage", extras.front(), "was not expected by 'teeny {0}'; see 'teeny {0} --help'", command_);
  const std::string typed = option->substr(0, option->find('='));
  std::vector<std::string> known{"--help"};
  for (const auto& info : table_)
    for (const auto& name : info->names)
      if (name[0] == '-') known.push_back(name);
  const std::string near = nearest(typed, known);
  if (near.empty()) throw usage_error("usage", typed, "is not an option of 'teeny {0}'; see 'teeny {0} --help'", command_);
  throw usage_error("usage", typed, "is not an option of 'teeny {}'; did you mean {}?", command_, near);
}

void Options::parse(const std::vector<std::string>& args) {
  for (const auto& arg : args)
    if (arg == "--help" || arg == "-h") throw HelpRequested{};
  try {
    parser_->app.parse(std::vector<std::string>(args.rbegin(), args.rend()));  // CLI11 wants them reversed
  } catch (const CLI::ArgumentMismatch& error) {
    const std::string text = error.what(), name = text.substr(0, text.find(": "));
    const auto times = std::count_if(args.begin(), args.end(), [&](const auto& arg) { return arg == name || arg.rfind(name + "=", 0) == 0; });
    if (times > 1) throw usage_error("usage", name, "is given {} times; give it once", times);
    throw usage_error("usage", name, "needs a value; see 'teeny {} --help'", command_);
  } catch (const CLI::ParseError& error) {
    throw usage_error("usage", command_, "{}; see 'teeny {} --help'", error.what(), command_);
  }
  if (const auto extras = parser_->app.remaining(); !extras.empty()) refuse_extras(extras);
  for (const auto& info : table_)
    if (info->required && info->names.back()[0] == '-' && !given(info->long_name()))
      throw usage_error("usage", info->long_name(), "is required{}; see 'teeny {} --help'",
                        info->choices.empty() ? "" : fmt::format(" (one of {})", fmt::join(info->choices, ", ")), command_);
}

bool Options::given(const std::string& name) const {
  const auto found = parser_->by_name.find(name);
  return found != parser_->by_name.end() && found->second->count() > 0;
}

std::string Options::value(const std::string& name) const {
  if (!given(name)) return "";
  const auto& results = parser_->by_name.at(name)->results();
  return results.empty() ? "" : results.back();
}

}  // namespace teeny::cli
