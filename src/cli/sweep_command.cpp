#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "input_options.h"
#include "sagesan/jobs/batch.h"
#include "sagesan/jobs/sweep.h"
#include "sagesan/support/file.h"

namespace sagesan::cli {
namespace {

struct SweepWords {
  InputWords inputs;
  std::vector<std::string> retain_eval, forget_eval;
  std::string methods = "sage,forget-aware",
              strengths = fmt::format("{:g}", fmt::join(SweepOptions{}.strengths, ",")),
              energies = "0.95";
  std::string gains = "1,1.5", shares = "0.1", others = "shrink", keep_forgetting = "0.95";
  std::string out, json, html;
  bool overwrite = false;
};

std::vector<double> parse_numbers(const std::string& option, const std::string& text, double least,
                                  double most, bool zero) {
  std::vector<double> numbers;
  for (const std::string& word : split_list(option, text)) {
    numbers.push_back(parse_number(option, word, least, most));
    if (numbers.back() == 0 && !zero)
      throw UsageError(fmt::format("{} 0: expected numbers above 0", option));
  }
  if (numbers.empty()) throw UsageError(option + ": expected numbers with commas between them");
  return numbers;
}

SweepOptions parse(const CLI::App& command, const SweepWords& words) {
  SweepOptions options;
  parse_inputs(command, words.inputs, options.sanitize);
  if (command.count("--out") > 0) options.sanitize.out = parse_path("--out", words.out);
  options.sanitize.overwrite = words.overwrite;
  for (const std::string& word : words.retain_eval)
    options.retain_eval.push_back(parse_path("--retain-eval", word));
  for (const std::filesystem::path& judged : options.retain_eval) {
    for (const std::filesystem::path& used : options.sanitize.retain) {
      if (resolve_path(judged) == resolve_path(used)) {
        throw UsageError(fmt::format("--retain-eval {}: --retain has it, too; judge by other texts",
                                     quote(judged.string())));
      }
    }
  }
  for (const std::string& word : words.forget_eval)
    options.forget_eval.push_back(parse_path("--forget-eval", word));
  options.methods.clear();
  for (const std::string& word : split_list("--methods", words.methods)) {
    options.methods.push_back(
        parse_choice("--methods", word,
                     {Method::kSage, Method::kRidge, Method::kNullspace, Method::kScale,
                      Method::kRandom, Method::kRollback, Method::kForgetAware},
                     method_name));
  }
  if (options.methods.empty()) throw UsageError("--methods: expected at least one method");
  options.strengths = parse_numbers("--strengths", words.strengths, 0, 1e12, true);
  options.energies = parse_numbers("--energies", words.energies, 0, 1, false);
  options.gains = parse_numbers("--gains", words.gains, 0, 1e6, false);
  options.shares = parse_numbers("--shares", words.shares, 0, 1, false);
  if (command.count("--shares") > 0 && std::find(options.methods.begin(), options.methods.end(),
                                                 Method::kRollback) == options.methods.end())
    throw UsageError("--shares goes with --methods rollback alone");
  options.others.clear();
  for (const std::string& word : split_list("--others", words.others)) {
    options.others.push_back(parse_choice("--others", word, kOtherPolicies, other_policy_name));
  }
  if (options.others.empty()) throw UsageError("--others: expected at least one policy");
  options.keep_forgetting = parse_number("--keep-forgetting", words.keep_forgetting, 0, 1);
  return options;
}

void print_line(const std::string& name, size_t width, const LikelihoodSummary& forget,
                const LikelihoodSummary& retain, const std::string& rest) {
  std::cout << fmt::format("{:<{}} {:>11.4f} {:>11.4f}{}\n", name, width,
                           forget.mean_negative_log_likelihood, retain.mean_negative_log_likelihood,
                           rest);
}

void print_table(const SweepResult& result) {
  size_t width = 9;
  for (const SweepCandidate& candidate : result.candidates)
    width = std::max(width, candidate.name().size());
  std::cout << fmt::format("{:<{}} {:>11} {:>11} {:>10} {:>10}\n", "candidate", width,
                           "forget loss", "retain loss", "forgotten", "recovered");
  print_line("base", width, result.base_forget, result.base_retain, "");
  const auto line = [&](const std::string& name, const SweepCandidate& candidate) {
    const std::string recovered =
        candidate.recovered ? fmt::format("{:>9.1f}%", *candidate.recovered * 100) : "         -";
    print_line(name, width, candidate.forget, candidate.retain,
               fmt::format(" {:>9.1f}% {}{}", candidate.kept_forgetting * 100, recovered,
                           &candidate == &result.best() ? "  <- best" : ""));
  };
  line("unlearned", result.unlearned);
  for (const SweepCandidate& candidate : result.candidates) line(candidate.name(), candidate);
  std::cout << fmt::format("\nretain loss at {:.4g} % of the forgetting (interpolated)\n",
                           result.keep_forgetting * 100);
  for (const auto& point : result.at_equal_forgetting()) {
    std::cout << fmt::format("{:<{}} {}\n", point.series, width,
                             point.retain_loss ? fmt::format("{:.4f}", *point.retain_loss) : "-");
  }
}

void print_best(const SweepResult& result) {
  const SweepCandidate& best = result.best();
  const bool unlearned = &best == &result.unlearned;
  std::cout << fmt::format("\nbest that keeps at least {:.4g} % of the forgetting: {}\n",
                           result.keep_forgetting * 100,
                           unlearned ? "the unlearned model as it is" : best.name());
  if (result.nothing_beats_scaling()) {
    std::cout << (unlearned ? "no candidate that forgets as much does better on the retain texts\n"
                            : "nothing beats scaling the whole update down on these texts\n");
  } else {
    std::cout << fmt::format(
        "uniform scaling at its best: {} (retain loss {:.4f} against {:.4f})\n",
        &result.best_scaling() == &result.unlearned ? "the unlearned model as it is"
                                                    : result.best_scaling().name(),
        result.best_scaling().retain.mean_negative_log_likelihood,
        best.retain.mean_negative_log_likelihood);
  }
}

void check_target(const SweepOptions& options, const std::filesystem::path& target) {
  std::vector<std::filesystem::path> taken = job_inputs(options.sanitize);
  for (const auto* files : {&options.retain_eval, &options.forget_eval})
    taken.insert(taken.end(), files->begin(), files->end());
  if (!options.sanitize.out.empty()) taken.push_back(options.sanitize.out);
  check_text_file_target(target, taken);
}

}  // namespace

void add_sweep(CLI::App& app, Common& common, Action& action) {
  CLI::App* command = app.add_subcommand(
      "sweep", "try many ways to sanitize in memory, and write the best that forgets enough");
  auto words = std::make_shared<SweepWords>();
  add_input_options(*command, words->inputs,
                    "texts that were to be forgotten: what --method forget-aware is anchored by, "
                    "and forgetting is judged by; repeatable");
  command->get_option("--forget")->required();
  add_list(*command, "--retain-eval", words->retain_eval,
           "other texts that the model should keep, by which retention is judged; repeatable")
      ->required()
      ->type_name("FILE");
  add_list(*command, "--forget-eval", words->forget_eval,
           "other texts that were to be forgotten, by which forgetting is judged instead of "
           "--forget; repeatable")
      ->type_name("FILE");
  const auto list = [&](const std::string& name, std::string& values, const std::string& help) {
    command->add_option(name, values, help)->type_name("A,B")->capture_default_str();
  };
  list("--methods", words->methods,
       "methods to try, with commas between them (sanitize --help tells them); scale and nullspace "
       "are always among them");
  list("--strengths", words->strengths, "strengths to try");
  list("--energies", words->energies, "energies to try");
  list("--gains", words->gains, "carrier gains to try");
  list("--shares", words->shares, "shares of rollback to try");
  list("--others", words->others, "policies for embeddings, norms and biases to try");
  command
      ->add_option("--keep-forgetting", words->keep_forgetting,
                   "the share of the unlearned model's rise in forget loss that the best must keep")
      ->type_name("K")
      ->capture_default_str();
  command
      ->add_option("--out", words->out, "directory to write the best to; else nothing is written")
      ->type_name("DIR");
  add_run_options(*command, common, words->inputs);
  command->add_option("--json", words->json, "write JSON to FILE, or to standard output with -")
      ->type_name("FILE");
  command->add_option("--html", words->html, "write the frontier to FILE as one HTML page")
      ->type_name("FILE");
  command->add_flag("--overwrite", words->overwrite, "replace an earlier output of sagesan");
  exclude(common, *command, "--moments", "", {"--retain", "--max-tokens"});
  command->callback([words, command, &common, &action] {
    action = [words, command, &common] {
      const SweepOptions options = parse(*command, *words);
      const bool to_file = command->count("--json") > 0 && words->json != "-";
      const bool html = command->count("--html") > 0;
      if (to_file) check_target(options, parse_path("--json", words->json));
      if (html) check_target(options, parse_path("--html", words->html));
      if (html && to_file) check_outside(words->html, {words->json});
      apply_threads(common);
      const SweepResult result =
          jobs().sweep(options, progress_bar(common.quiet), notice(common.quiet));
      clear_progress_bar();
      if (html) replace_text_file(words->html, sweep_page(result));
      const std::string json = result.to_json().dump(1) + "\n";
      if (words->json == "-") {
        std::cout << json;
        return;
      }
      if (to_file) replace_text_file(words->json, json);
      if (common.quiet) return;
      print_table(result);
      print_best(result);
      if (!result.written.empty())
        std::cout << "written to " << printable(options.sanitize.out.string()) << "\n";
    };
  });
}

}  // namespace sagesan::cli
