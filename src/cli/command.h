#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "module/jobs.h"
#include "sagesan/support/error.h"
#include "sagesan/support/progress.h"
#include "sagesan/text/chat_template.h"

namespace sagesan::cli {

/// Two options that contradict each other: both typed, or both in a file, are refused; where one is
/// typed and the other in the file, the file's counts for nothing.
struct Exclusion {
  CLI::Option* option;
  std::string value;  ///< of `option`; where empty, whatever it is
  CLI::Option* other;
  std::string reason;

  /// Whether `option` contradicts the other one when it was given as `words`.
  bool applies(const std::vector<std::string>& words) const;
  std::string message() const;
};

/// What every subcommand shares.
struct Common {
  bool quiet = false;
  bool verbose = false;
  bool profile = false;
  std::string threads = "0";
  std::string config;  ///< the file of --config; empty where there is none
  /// "FILE:LINE" of each option that has its value from there, by the option's name with its dashes
  std::map<std::string, std::string> config_places;
  std::vector<Exclusion> exclusions;
  std::vector<std::string> notes;  ///< on what was parsed, for the user
};

/// What needs libtorch. The first call loads it, which takes most of a second, so it comes after
/// all that can be refused without. Throws `IoError` where the module cannot be loaded.
const Jobs& jobs();

/// Runs a parsed subcommand.
using Action = std::function<void()>;

// One function a subcommand: defines its options on `app` and sets `action` when it was chosen.
void add_sanitize(CLI::App& app, Common& common, Action& action);
void add_sweep(CLI::App& app, Common& common, Action& action);
void add_batch(CLI::App& app, Common& common, Action& action);
void add_collect(CLI::App& app, Common& common, Action& action);
void add_merge(CLI::App& app, Common& common, Action& action);
void add_demo(CLI::App& app, Common& common, Action& action);
void add_inspect(CLI::App& app, Common& common, Action& action);
void add_evaluate(CLI::App& app, Common& common, Action& action);
void add_check(CLI::App& app, Common& common, Action& action);
void add_report(CLI::App& app, Common& common, Action& action);
void add_tokenize(CLI::App& app, Common& common, Action& action);
void add_families(CLI::App& app, Action& action);
void add_completion(CLI::App& app, Action& action);

/// Defines the options of `sanitize` on `command`. The result gives what they come to once they
/// have values and their exclusions are checked; it throws `UsageError`.
std::function<SanitizeOptions()> add_sanitize_options(CLI::App& command, Common& common);

/// --config, on the root: fills in the options that neither were typed nor contradict one that was.
/// Throws `InputError` for what is no TOML and `UsageError`, with file and line, for unknown
/// sections and keys, for values of the wrong type and for options that contradict each other.
void add_config(CLI::App& app, Common& common);
/// What is wrong with an option, which `message` begins with, behind the place in --config's file
/// that gave its value; `message` itself where it was typed.
std::string with_config_place(const Common& common, const std::string& message);
/// Throws `InputError` where an output of the parsed subcommand would replace that file.
void check_config_is_kept(const CLI::App& command, const Common& common);

/// Declares that `option` of a command, or where not empty its `value`, excludes each of `others`.
void exclude(Common& common, CLI::App& command, const std::string& option, const std::string& value,
             const std::vector<std::string>& others, const std::string& reason = "");
/// Throws `UsageError` for options of the parsed subcommand that contradict each other.
void check_exclusions(const Common& common);

// An option's type name says what it takes, to --help, to --config and to the shells' completion:
// one capital letter is a number; FILE, DIR and NAME=FILE are names of such; words separated by `|`
// are all that it takes, but for those with a capital letter, which stand for many; anything else
// is text.
bool takes_number(const CLI::Option& option);

/// The option whose long name, the first where it has several, is `key`; null where there is none.
CLI::Option* find_option(CLI::App& command, const std::string& key);
/// The long names of all options but --help, without their dashes.
std::vector<std::string> option_names(const CLI::App& command);

/// Words that options would have been given, before they are.
using PendingWords = std::map<CLI::Option*, std::vector<std::string>>;
/// Takes out of `pending` what contradicts an option that has its words already; `dropped` is told
/// of each with what it contradicts. Returns the exclusion that two of the rest contradict, or
/// null.
const Exclusion* drop_excluded(
    const Common& common, PendingWords& pending,
    const std::function<void(const CLI::Option& dropped, const CLI::Option& winner)>& dropped);

/// A path or text option that takes exactly one value each time it is given: CLI11's own lists
/// would swallow what follows.
CLI::Option* add_list(CLI::App& command, const std::string& name, std::vector<std::string>& values,
                      const std::string& help);

/// Decimal numbers alone, checked against [least, most]: CLI11 takes "nan" and reads "010" as 8.
double parse_number(const std::string& option, const std::string& text, double least, double most);
int64_t parse_integer(const std::string& option, const std::string& text, int64_t least,
                      int64_t most);

/// --max-length: the tokens of one text.
int64_t parse_max_length(const std::string& text);

/// Bytes: "5GB" (10^9), "500MiB" (2^20), "1000000"; at least 1.
uint64_t parse_size(const std::string& option, const std::string& text);

/// The one of `choices` whose name `text` is.
template <typename Choice, typename Name>
Choice parse_choice(const std::string& option, const std::string& text,
                    std::initializer_list<Choice> choices, const Name& name) {
  std::string expected;
  for (const Choice& choice : choices) {
    if (text == name(choice)) return choice;
    expected += (expected.empty() ? "" : ", ") + std::string(name(choice));
  }
  throw UsageError(option + " " + quote(text) + ": expected one of " + expected);
}

/// A file or directory name, which must not be empty. What lies there is the preflight's matter.
std::filesystem::path parse_path(const std::string& option, const std::string& text);

/// Throws `UsageError` where a name that goes to JSON is no UTF-8.
void check_text_name(const std::string& option, const std::string& name);

/// "NAME=PATH", or a path, whose last part is the name then, as `printable` shows it.
std::pair<std::string, std::filesystem::path> parse_named_path(const std::string& option,
                                                               const std::string& text);

/// "A, B" -> {"A", "B"}; empty parts are refused.
std::vector<std::string> split_list(const std::string& option, const std::string& text);

// Options that several subcommands have, each with one wording.
/// --base and --unlearned, both required.
void add_pair_options(CLI::App& command, std::string& base, std::string& unlearned);
/// How a record becomes text, as typed.
struct RenderingWords {
  std::string fields, chat_template, long_texts = "cut";
  bool of_model = false;
};
/// --retain-fields, --retain-template, --chat-template, --max-length and --long-texts; the default
/// of --max-length is what `max_length` holds.
void add_text_options(CLI::App& command, Common& common, RenderingWords& rendering,
                      std::string& max_length);
Rendering parse_rendering(const RenderingWords& words);
/// --max-tokens and --token-cap, where moments are collected.
void add_max_tokens(CLI::App& command, std::string& max_tokens);
void add_token_cap(CLI::App& command, std::string& token_cap);
/// --device, --threads and --profile, where a model runs.
void add_machine_options(CLI::App& command, std::string& device, Common& common);
void apply_threads(const Common& common);
/// What --profile asks for, on stderr: time and bytes of each stage.
void print_profile();

/// A progress bar on stderr with the time left: none when stderr is no terminal or `quiet`, none in
/// the first two seconds. Every call looks for a signal first and throws `Interrupted`.
Progress progress_bar(bool quiet);
/// Removes the bar from the terminal, before other output.
void clear_progress_bar();
/// Makes SIGINT, SIGTERM and SIGHUP end the run at the next progress call; a second one at once.
void install_signal_handlers();

/// A line for the user on stderr unless `quiet`.
std::function<void(const std::string&)> notice(bool quiet);

}  // namespace sagesan::cli
