#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace sagesan::cli {

/// One option as its definition says it: what the completion scripts and the manual page are made
/// of.
struct OptionDescription {
  std::vector<std::string> names;  ///< "-q", "--quiet"; for a positional its name alone
  std::string type;                ///< type name; empty for a flag
  std::string help, default_value;
  bool required = false, repeatable = false, positional = false;

  /// The fixed words that it takes (see `takes_number` on type names).
  std::vector<std::string> choices() const;
};

/// A subcommand, or the program itself.
struct CommandDescription {
  std::string name, help;
  std::vector<OptionDescription> options;
};

CommandDescription describe(const CLI::App& command);
/// The subcommands in the order of --help.
std::vector<CommandDescription> describe_subcommands(const CLI::App& app);

/// A script for one shell; it does not call sagesan when completing.
std::string bash_completion(const CLI::App& app);
std::string zsh_completion(const CLI::App& app);
std::string fish_completion(const CLI::App& app);
/// sagesan(1) as roff.
std::string man_page(const CLI::App& app);

}  // namespace sagesan::cli
