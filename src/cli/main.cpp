#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "command.h"
#include "nearest_name.h"
#include "sagesan/support/error.h"

namespace sagesan::cli {
namespace {

/// A caller may have closed them; the first files opened would then get what is printed. Read-only,
/// so that printing fails.
void keep_standard_streams() {
  for (int fd = ::open("/dev/null", O_RDONLY); fd >= 0; fd = ::dup(fd)) {
    if (fd <= STDERR_FILENO) continue;
    ::close(fd);
    break;
  }
}

void start_logging() {
  auto logger = spdlog::stderr_color_mt("sagesan");
  logger->set_pattern("sagesan: %^%l%$: %v");
  spdlog::set_default_logger(logger);
}

/// One line for each problem.
void print_error(const std::string& message) {
  clear_progress_bar();
  std::istringstream lines(message);
  for (std::string line; std::getline(lines, line);) spdlog::error(line);
}

/// A misspelt option, which CLI11 would name only after what is missing for it.
void refuse_unknown_options(const CLI::App& command, const std::vector<std::string>& words) {
  std::vector<std::string> names = option_names(command);
  for (std::string& name : names) name.insert(0, "--");
  for (const std::string& whole : words) {
    const std::string word = whole.substr(0, whole.find('='));
    const bool is_long = word.starts_with("--") && word.size() > 2 &&
                         std::find(names.begin(), names.end(), word) == names.end();
    const bool lacks_a_dash = std::find(names.begin(), names.end(), "-" + word) != names.end();
    if (is_long || lacks_a_dash) {
      throw UsageError(fmt::format("unknown option {} of {}{} (see --help)", quote(word),
                                   command.get_name(), did_you_mean(word, names)));
    }
  }
}

/// Throws where standard output did not take all that was written.
int finish_output() {
  std::cout.flush();
  if (!std::cout) throw IoError("standard output", "cannot write");
  return static_cast<int>(ExitCode::kDone);
}

int run(int argc, char** argv) {
  CLI::App app("Takes the damage to retained knowledge out of an unlearned language model.",
               "sagesan");
  app.set_version_flag("--version", SAGESAN_VERSION);
  app.require_subcommand(1);
  app.footer(
      "Exit codes: 0 done, 1 internal error, 2 usage, 3 bad input, 4 input/output, 5 check failed, "
      "130 interrupted.");
  Common common;
  Action action;
  add_sanitize(app, common, action);
  add_sweep(app, common, action);
  add_batch(app, common, action);
  add_collect(app, common, action);
  add_merge(app, common, action);
  add_inspect(app, common, action);
  add_evaluate(app, common, action);
  add_check(app, common, action);
  add_report(app, common, action);
  add_tokenize(app, common, action);
  add_families(app, action);
  add_demo(app, common, action);
  add_completion(app, action);
  for (CLI::App* command : app.get_subcommands({})) {
    command->add_flag("-q,--quiet", common.quiet, "errors alone");
    command->add_flag("-v,--verbose", common.verbose,
                      "say more: sanitize and inspect --moments print a line a tensor");
  }
  add_config(app, common);
  int first = 1;
  while (first < argc && argv[first][0] == '-')
    first += std::string(argv[first]) == "--config" ? 2 : 1;
  if (first < argc) {
    // CLI11 would say only that a subcommand is required.
    const auto named = [&](const CLI::App* command) { return command->get_name() == argv[first]; };
    if (app.get_subcommands(named).empty()) {
      std::vector<std::string> names;
      for (const CLI::App* command : app.get_subcommands({})) names.push_back(command->get_name());
      throw UsageError("unknown subcommand " + quote(argv[first]) +
                       did_you_mean(argv[first], names) + " (see --help)");
    }
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {  // --help, --version
      app.exit(error);
      return finish_output();
    }
    for (int i = first + 1; i < argc; ++i) {
      const std::string_view word = argv[i];
      if (word == "--config" || word.starts_with("--config=")) {
        throw UsageError(fmt::format(
            "--config goes before the subcommand: sagesan --config FILE {}", argv[first]));
      }
    }
    if (first < argc)
      refuse_unknown_options(*app.get_subcommand(argv[first]), {argv + first + 1, argv + argc});
    throw UsageError(with_config_place(common, std::string(error.what()) + " (see --help)"));
  }
  check_exclusions(common);
  check_config_is_kept(*app.get_subcommands().front(), common);
  for (const std::string& note : common.notes) notice(common.quiet)(note);
  install_signal_handlers();
  try {
    action();
  } catch (const UsageError& error) {
    throw UsageError(with_config_place(common, error.what()));
  }
  if (common.profile) print_profile();
  return finish_output();
}

}  // namespace
}  // namespace sagesan::cli

int main(int argc, char** argv) {
  sagesan::cli::keep_standard_streams();
  sagesan::cli::start_logging();
  try {
    return sagesan::cli::run(argc, argv);
  } catch (...) {
    const sagesan::Failure failure = sagesan::current_failure();
    sagesan::cli::print_error(failure.message);
    return static_cast<int>(failure.code);
  }
}
