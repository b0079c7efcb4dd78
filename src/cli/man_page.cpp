#include <fmt/format.h>

#include "description.h"
#include "sagesan/report/sanitize_report.h"

namespace sagesan::cli {
namespace {

/// Plain text in roff: a hyphen of a word to be typed must not become a typographic one, and a line
/// must not start as a request.
std::string roff(const std::string& text) {
  std::string result;
  bool line_start = true;
  for (const char c : text) {
    if (line_start && (c == '.' || c == '\'')) result += "\\&";
    line_start = c == '\n';
    if (c == '\\') {
      result += "\\e";
    } else if (c == '-') {
      result += "\\-";
    } else {
      result += c;
    }
  }
  return result;
}

std::string bold(const std::string& text) { return "\\fB" + roff(text) + "\\fR"; }
std::string italic(const std::string& text) { return "\\fI" + roff(text) + "\\fR"; }

/// "--base DIR", as it is typed.
std::string usage(const OptionDescription& option) {
  if (option.positional) return italic(option.type);
  std::string result;
  for (const std::string& name : option.names) result += (result.empty() ? "" : ", ") + bold(name);
  return option.type.empty() ? result : result + " " + italic(option.type);
}

std::string option_entries(const CommandDescription& command) {
  std::string result;
  for (const OptionDescription& option : command.options) {
    result += ".TP\n" + usage(option) + "\n" + roff(option.help);
    if (option.required) result += " (required)";
    if (!option.default_value.empty()) result += " (default " + roff(option.default_value) + ")";
    result += "\n";
  }
  return result;
}

std::string synopsis(const CommandDescription& command) {
  std::string result = bold("sagesan " + command.name);
  bool optional = false;
  for (const OptionDescription& option : command.options) {
    optional = optional || !option.required;
    if (option.required) result += " " + usage(option) + (option.repeatable ? " ..." : "");
  }
  return result + (optional ? " [" + italic("OPTIONS") + "]" : "") + "\n";
}

}  // namespace

std::string man_page(const CLI::App& app) {
  const CommandDescription root = describe(app);
  const std::vector<CommandDescription> commands = describe_subcommands(app);
  std::string page =
      fmt::format(".TH SAGESAN 1 \"\" \"sagesan {}\" \"User Commands\"\n", roff(SAGESAN_VERSION));
  page += ".nh\n.ad l\n.SH NAME\nsagesan \\- a sanitizer for LLM unlearning\n.SH SYNOPSIS\n";
  for (const CommandDescription& command : commands)
    page += (&command == &commands.front() ? "" : ".PP\n") + synopsis(command);
  page += ".SH DESCRIPTION\n" + roff(root.help) + "\n.SH OPTIONS\nBefore the subcommand:\n" +
          option_entries(root);
  page += ".SH SUBCOMMANDS\n";
  for (const CommandDescription& command : commands) {
    page += ".SS " + bold("sagesan " + command.name) + "\n" + roff(command.help) + "\n" +
            option_entries(command);
  }
  // The one list of the codes is the help's footer.
  const std::string footer = app.get_footer();
  page += ".SH EXIT STATUS\n" + roff(footer.substr(footer.find(": ") + 2)) + "\n";
  page += ".SH FILES\n.TP\n" + italic("OUT/" + std::string(kReportName)) +
          "\nthe figures of every tensor that was sanitized\n.TP\n" + italic("FILE.toml") +
          "\noptions, given with " + bold("--config") +
          ": a section a subcommand, a key a long option's name\n";
  return page;
}

}  // namespace sagesan::cli
