#include <fmt/format.h>
#include <fmt/ranges.h>

#include "description.h"

namespace sagesan::cli {
namespace {

// bash splits at `=`: the word is put together again, and only what follows the last `=` is
// replied.
constexpr const char* kHead = R"(# bash completion for sagesan
_sagesan() {
  local current=${COMP_WORDS[COMP_CWORD]} word command='' option='' value i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; ++i)); do
    case ${COMP_WORDS[i]} in
      --config) [[ ${COMP_WORDS[i + 1]} != = ]] || ((++i)); ((++i)) ;;
      -* | =) ;;
      *) command=${COMP_WORDS[i]}; break ;;
    esac
  done
  word=$current
  for ((i = COMP_CWORD; i > 1; --i)); do
    [[ ${COMP_WORDS[i]} == = || ${COMP_WORDS[i - 1]} == = ]] || break
    word=${COMP_WORDS[i - 1]}$word
  done
  if [[ $word == --*=* ]]; then
    option=${word%%=*} value=${word#*=}
  elif [[ ${COMP_WORDS[i - 1]} == -* ]]; then
    option=${COMP_WORDS[i - 1]} value=$word
  fi
  case $command:$option in
)";

constexpr const char* kTail = R"(  esac
  local words=''
  case $command in
{cases}  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}}
_sagesan_files() {{
  compopt -o filenames 2>/dev/null
  mapfile -t COMPREPLY < <(compgen "$1" -- "$2")
}}
complete -F _sagesan sagesan
)";

/// What follows an option of `command` that takes a value.
std::string value_case(const std::string& command, const OptionDescription& option) {
  std::string patterns;
  for (const std::string& name : option.names)
    patterns += fmt::format("{}{}:{}", patterns.empty() ? "" : " | ", command, name);
  std::string reply = "return";
  if (option.type == "DIR") {
    reply = R"(_sagesan_files -d "$value"; return)";
  } else if (option.type == "FILE") {
    reply = R"(_sagesan_files -f "$value"; return)";
  } else if (option.type == "NAME=FILE") {
    reply = R"([[ $value == *=* ]] && _sagesan_files -f "${value#*=}"; return)";
  } else if (const auto choices = option.choices(); !choices.empty()) {
    reply = fmt::format(R"(mapfile -t COMPREPLY < <(compgen -W '{}' -- "$value"); return)",
                        fmt::join(choices, " "));
  }
  return fmt::format("    {}) {} ;;\n", patterns, reply);
}

/// Where no option's value is wanted: `words` that may stand there, and options.
std::string words_case(const CommandDescription& command, std::vector<std::string> words) {
  std::vector<std::string> names;
  bool files = false;
  for (const OptionDescription& option : command.options) {
    files = files || (option.positional && option.type == "FILE");
    std::vector<std::string>& target = option.positional ? words : names;
    for (const std::string& word : option.positional ? option.choices() : option.names)
      target.push_back(word);
  }
  std::string line = fmt::format("words='{}'", fmt::join(names, " "));
  if (!words.empty())
    line += fmt::format("; [[ $word == -* ]] || words='{}'", fmt::join(words, " "));
  if (files) line += R"(; [[ $word == -* ]] || { _sagesan_files -f "$word"; return; })";
  return line;
}

}  // namespace

std::string bash_completion(const CLI::App& app) {
  std::string script = kHead;
  std::string cases;
  const auto add = [&](const CommandDescription& command, const std::string& name,
                       const std::vector<std::string>& words) {
    for (const OptionDescription& option : command.options) {
      if (!option.positional && !option.type.empty()) script += value_case(name, option);
    }
    cases += fmt::format("    {}) {} ;;\n", name.empty() ? "''" : name, words_case(command, words));
  };
  std::vector<std::string> names;
  for (const CommandDescription& command : describe_subcommands(app)) {
    add(command, command.name, {});
    names.push_back(command.name);
  }
  add(describe(app), "", names);
  return script + fmt::format(kTail, fmt::arg("cases", cases));
}

}  // namespace sagesan::cli
