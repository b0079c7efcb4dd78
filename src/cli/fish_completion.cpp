#include <fmt/format.h>
#include <fmt/ranges.h>

#include "description.h"

namespace sagesan::cli {
namespace {

/// In single quotes.
std::string quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') result += '\\';
    result += c;
  }
  return result + "'";
}

/// What may stand as the value: `-x` takes it alone, `-r -F` takes file names.
std::string value_arguments(const OptionDescription& option) {
  if (option.type == "DIR") return " -x -a '(__fish_complete_directories)'";
  if (option.type == "FILE" || option.type == "NAME=FILE") return " -r -F";
  const auto choices = option.choices();
  return choices.empty() ? " -x" : fmt::format(" -x -a '{}'", fmt::join(choices, " "));
}

std::string option_lines(const CommandDescription& command, const std::string& condition) {
  std::string lines;
  for (const OptionDescription& option : command.options) {
    lines += fmt::format("complete -c sagesan -n '{}'", condition);
    if (option.positional) {
      lines += option.type == "FILE" ? " -F\n"
                                     : fmt::format(" -a '{}'\n", fmt::join(option.choices(), " "));
      continue;
    }
    for (const std::string& name : option.names) {
      lines += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
    }
    if (!option.type.empty()) lines += value_arguments(option);
    lines += " -d " + quoted(option.help) + "\n";
  }
  return lines;
}

}  // namespace

std::string fish_completion(const CLI::App& app) {
  std::vector<std::string> names;
  std::string lines;
  constexpr const char* kNone = "__sagesan_no_subcommand";
  for (const CommandDescription& command : describe_subcommands(app)) {
    names.push_back(command.name);
    lines += fmt::format("complete -c sagesan -n '{}' -a {} -d {}\n", kNone, command.name,
                         quoted(command.help));
    lines += option_lines(command, "__fish_seen_subcommand_from " + command.name);
  }
  lines += option_lines(describe(app), kNone);
  return fmt::format(R"(# fish completion for sagesan
function {}
    not __fish_seen_subcommand_from {}
end
complete -c sagesan -f
{})",
                     kNone, fmt::join(names, " "), lines);
}

}  // namespace sagesan::cli
