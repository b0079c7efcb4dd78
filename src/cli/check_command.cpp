#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "command.h"
#include "sagesan/report/check.h"
#include "sagesan/report/junit.h"
#include "sagesan/support/error.h"
#include "sagesan/support/file.h"

namespace sagesan::cli {
namespace {

struct CheckWords {
  std::string report, max_bias, max_mean_bias, min_norm_kept, against, tolerance, junit;
  std::vector<std::string> max_perplexity, rules;
};

constexpr double kLargest = 1e300;

double parse_bound(const std::string& option, const std::string& text) {
  return parse_number(option, text, -kLargest, kLargest);
}

std::string trimmed(const std::string& text) {
  const size_t start = text.find_first_not_of(' ');
  if (start == std::string::npos) return "";
  return text.substr(start, text.find_last_not_of(' ') - start + 1);
}

/// "FIGURE <= X" or "FIGURE >= X".
CheckRule parse_rule(const std::string& text) {
  const size_t at_most = text.rfind("<=");
  const size_t at_least = text.rfind(">=");
  const bool is_most = at_most != std::string::npos;
  if (is_most == (at_least != std::string::npos))
    throw UsageError(fmt::format("--rule {}: expected FIGURE <= X or FIGURE >= X", quote(text)));
  const size_t position = is_most ? at_most : at_least;
  const std::string figure = trimmed(text.substr(0, position));
  if (figure.empty())
    throw UsageError(fmt::format("--rule {}: expected the name of a figure", quote(text)));
  return {figure, is_most, parse_bound("--rule", trimmed(text.substr(position + 2)))};
}

/// "NAME=X": the perplexity of a data set.
CheckRule parse_perplexity(const std::string& text) {
  const size_t equals = text.rfind('=');
  if (equals == std::string::npos || equals == 0)
    throw UsageError(fmt::format("--max-perplexity {}: expected NAME=X", quote(text)));
  return {text.substr(0, equals) + ".perplexity", true,
          parse_bound("--max-perplexity", text.substr(equals + 1))};
}

std::vector<CheckRule> parse_rules(const CheckWords& words) {
  std::vector<CheckRule> rules;
  const auto add = [&](const char* option, const std::string& word, const char* figure,
                       bool at_most) {
    if (!word.empty()) rules.push_back({figure, at_most, parse_bound(option, word)});
  };
  add("--max-bias", words.max_bias, "bias_after.max", true);
  add("--max-mean-bias", words.max_mean_bias, "bias_after.mean", true);
  add("--min-norm-kept", words.min_norm_kept, "norm_kept", false);
  for (const std::string& word : words.max_perplexity) rules.push_back(parse_perplexity(word));
  for (const std::string& word : words.rules) rules.push_back(parse_rule(word));
  return rules;
}

/// "5%" -> 0.05. Without the sign 0.05 and 5 could both be meant.
double parse_tolerance(const std::string& text) {
  if (!text.ends_with('%'))
    throw UsageError(fmt::format("--tolerance {}: expected a percentage: 5%", quote(text)));
  return parse_number("--tolerance", text.substr(0, text.size() - 1), 0, 1e6) / 100;
}

ReportFigures read_figures(const std::filesystem::path& path) {
  return report_figures(read_json_file(path), path.string());
}

void run(const CheckWords& words, bool quiet) {
  const std::filesystem::path path = parse_path("check", words.report);
  const std::vector<CheckRule> rules = parse_rules(words);
  if (rules.empty() && words.against.empty())
    throw UsageError("check: nothing to check: give a rule or --against (see --help)");
  if (words.against.empty() && !words.tolerance.empty())
    throw UsageError("--tolerance goes with --against alone");
  const double tolerance = words.tolerance.empty() ? 0 : parse_tolerance(words.tolerance);
  if (!words.junit.empty()) {
    std::vector<std::filesystem::path> inputs = {path};
    if (!words.against.empty()) inputs.emplace_back(words.against);
    check_text_file_target(words.junit, inputs);
  }
  const ReportFigures report = read_figures(path);
  std::vector<CheckOutcome> outcomes;
  outcomes.reserve(rules.size());
  for (const CheckRule& rule : rules) outcomes.push_back(check_rule(rule, report));
  if (!words.against.empty()) {
    for (CheckOutcome& outcome : check_against(report, read_figures(words.against), tolerance))
      outcomes.push_back(std::move(outcome));
  }
  if (!words.junit.empty())
    replace_text_file(words.junit, junit_xml("sagesan check " + path.string(), outcomes));
  std::string failed;
  for (const CheckOutcome& outcome : outcomes) {
    if (!quiet) std::cout << outcome.line() << "\n";
    if (!outcome.passed) failed += (failed.empty() ? "" : "; ") + printable(outcome.rule);
  }
  if (failed.empty()) return;
  std::cout.flush();
  throw Error(ExitCode::kCheckFailed,
              fmt::format("{}: failed {}", printable(path.string()), failed));
}

}  // namespace

void add_check(CLI::App& app, Common& common, Action& action) {
  CLI::App* command = app.add_subcommand(
      "check", "judge a report by bounds or by an earlier one; exit code 5 where it fails");
  auto words = std::make_shared<CheckWords>();
  const auto not_empty = [](const std::string& word) {
    return word.empty() ? "the value is empty" : "";
  };
  command
      ->add_option("report", words->report,
                   "sagesan_report.json of 'sanitize', or the JSON of 'evaluate' or 'sweep'")
      ->required()
      ->type_name("FILE");
  command
      ->add_option("--max-bias", words->max_bias,
                   "most that bias_after of any tensor may be (bias_after.max)")
      ->check(not_empty)
      ->type_name("X");
  command
      ->add_option("--max-mean-bias", words->max_mean_bias,
                   "most that the linear modules' mean bias may be (bias_after.mean)")
      ->check(not_empty)
      ->type_name("X");
  command
      ->add_option("--min-norm-kept", words->min_norm_kept,
                   "least share of the update's norm that must be left (norm_kept)")
      ->check(not_empty)
      ->type_name("X");
  add_list(*command, "--max-perplexity", words->max_perplexity,
           "most that a data set's perplexity may be; with several models MODEL.NAME=X; repeatable")
      ->type_name("NAME=X");
  add_list(*command, "--rule", words->rules,
           "'FIGURE <= X' or 'FIGURE >= X' for any figure; repeatable (docs/check.md lists them)")
      ->type_name("RULE");
  command
      ->add_option("--against", words->against,
                   "an earlier report, than which no figure may be worse")
      ->check(not_empty)
      ->type_name("FILE");
  command
      ->add_option("--tolerance", words->tolerance,
                   "how much worse than in --against a figure may be; 0% where absent")
      ->check(not_empty)
      ->type_name("PERCENT");
  command->add_option("--junit", words->junit, "write JUnit XML, a test case a rule")
      ->check(not_empty)
      ->type_name("FILE");
  command->callback(
      [words, &common, &action] { action = [words, &common] { run(*words, common.quiet); }; });
}

}  // namespace sagesan::cli
