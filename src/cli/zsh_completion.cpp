#include <fmt/format.h>
#include <fmt/ranges.h>

#include "description.h"

namespace sagesan::cli {
namespace {

/// `text` with a backslash before the characters that `_arguments` gives a meaning, for use in
/// single quotes.
std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '\'') {
      result += R"('\'')";
      continue;
    }
    if (c == '\\' || c == '[' || c == ']' || c == ':') result += '\\';
    result += c;
  }
  return result;
}

/// `:message:action` of an option or positional that takes a value.
std::string value_action(const OptionDescription& option) {
  std::string action = " ";
  if (option.type == "DIR") {
    action = "_files -/";
  } else if (option.type == "FILE") {
    action = "_files";
  } else if (option.type == "NAME=FILE") {
    action = R"({compset -P "*=" && _files})";
  } else if (const auto choices = option.choices(); !choices.empty()) {
    action = fmt::format("({})", fmt::join(choices, " "));
  }
  return fmt::format(":{}:{}", escaped(option.type), action);
}

/// One argument of `_arguments` a name.
std::string option_lines(const OptionDescription& option) {
  if (option.positional)
    return fmt::format("'{}{}' ", option.repeatable ? "*" : "1", value_action(option));
  std::string lines;
  for (const std::string& name : option.names) {
    // Any spelling rules out all, unless the option may come again.
    const std::string others =
        option.repeatable ? "*" : fmt::format("({})", fmt::join(option.names, " "));
    const bool flag = option.type.empty();
    const bool equals = !flag && name.starts_with("--");
    lines += fmt::format("'{}{}{}[{}]{}' \\\n        ", others, name, equals ? "=" : "",
                         escaped(option.help), flag ? "" : value_action(option));
  }
  return lines;
}

std::string all_options(const CommandDescription& command) {
  std::string lines;
  for (const OptionDescription& option : command.options) lines += option_lines(option);
  return lines;
}

}  // namespace

std::string zsh_completion(const CLI::App& app) {
  std::string names;
  std::string cases;
  for (const CommandDescription& command : describe_subcommands(app)) {
    names += fmt::format("    '{}:{}'\n", command.name, escaped(command.help));
    cases += fmt::format("    {})\n      _arguments -s {}&& return 0 ;;\n", command.name,
                         all_options(command));
  }
  return fmt::format(R"(#compdef sagesan
# zsh completion for sagesan
_sagesan_subcommands() {{
  local -a subcommands=(
{names}  )
  _describe subcommand subcommands
}}
_sagesan() {{
  local curcontext=$curcontext state line
  typeset -A opt_args
  _arguments -C {root}'1:subcommand:_sagesan_subcommands' '*::argument:->arguments' && return 0
  [[ $state == arguments ]] || return 1
  case $line[1] in
{cases}  esac
  return 1
}}
if [[ $funcstack[1] == _sagesan ]]; then
  _sagesan "$@"
else
  compdef _sagesan sagesan
fi
)",
                     fmt::arg("names", names), fmt::arg("cases", cases),
                     fmt::arg("root", all_options(describe(app))));
}

}  // namespace sagesan::cli
