#include <fmt/format.h>

#include <iostream>
#include <nlohmann/json.hpp>
#include <set>

#include "command.h"
#include "sagesan/jobs/evaluate.h"
#include "sagesan/support/error.h"
#include "sagesan/support/file.h"

namespace sagesan::cli {
namespace {

struct Words {
  RenderingWords rendering;
  std::string max_length = "512", device = "auto", min_k = "0.4", json;
  std::vector<std::string> models, data, forget, holdout;
};

/// The names in `words`, each of them a data set's.
std::set<std::string> parse_names(const std::string& option, const std::vector<std::string>& words,
                                  const std::set<std::string>& known) {
  for (const std::string& word : words) {
    if (!known.contains(word))
      throw UsageError(fmt::format("{} {}: no --data has that name", option, quote(word)));
  }
  return {words.begin(), words.end()};
}

EvaluateOptions parse(const Words& words) {
  EvaluateOptions options{.device = words.device};
  std::set<std::string> models;
  for (const std::string& word : words.models) {
    options.models.push_back(parse_named_path("--model", word));
    const std::string& name = options.models.back().first;
    if (!models.insert(name).second)
      throw UsageError(
          fmt::format("--model: the name {} is given twice; say NAME=DIR", quote(name)));
  }
  std::set<std::string> names;
  for (const std::string& word : words.data) {
    const size_t equals = word.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == word.size()) {
      throw UsageError(fmt::format("--data {}: expected NAME=FILE", quote(word)));
    }
    const std::string name = word.substr(0, equals);
    if (!names.insert(name).second)
      throw UsageError(fmt::format("--data: the name {} is given twice", quote(name)));
    options.data.emplace_back(name, word.substr(equals + 1));
  }
  options.forget = parse_names("--forget", words.forget, names);
  options.holdout = parse_names("--holdout", words.holdout, names);
  options.min_k = parse_number("--min-k", words.min_k, 0, 1);
  options.rendering = parse_rendering(words.rendering);
  options.max_length = parse_integer("--max-length", words.max_length, 1, 1 << 24);
  return options;
}

std::string or_dash(const std::optional<Figure>& figure) {
  return figure ? fmt::format("{:.4f}", figure->aggregate) : "-";
}

void print_table(const EvaluateResult& result) {
  const bool several = result.models.size() > 1;
  size_t width = 0;
  if (several) {
    for (const auto& model : result.models) width = std::max(width, model.name.size() + 2);
  }
  std::cout << fmt::format("{:<{}}{:<20} {:>8} {:>9} {:>10} {:>12} {:>12} {:>9} {:>10} {:>8}\n",
                           several ? "model" : "", width, "data", "records", "tokens", "mean nll",
                           "perplexity", "probability", "memorized", "extraction", "truth");
  for (const auto& model : result.models) {
    for (size_t i = 0; i < result.data_sets.size(); ++i) {
      const LikelihoodSummary summary = model.summary(i);
      std::cout << fmt::format(
          "{:<{}}{:<20} {:>8} {:>9} {:>10.4f} {:>12.4g} {:>12.4f} {:>9} {:>10} {:>8}\n",
          several ? printable(model.name) : "", width, result.data_sets[i].name, summary.records,
          summary.tokens, summary.mean_negative_log_likelihood, summary.perplexity,
          summary.mean_answer_probability, or_dash(exact_memorization(model.scores[i])),
          or_dash(extraction_strength(model.scores[i])),
          or_dash(truth_ratio(model.scores[i], result.data_sets[i].forget)));
    }
    if (model.membership) {
      std::cout << fmt::format("{:<{}}membership by Min-K%: AUC {:.4f}\n",
                               several ? printable(model.name) : "", width, *model.membership);
    }
  }
}

}  // namespace

void add_evaluate(CLI::App& app, Common& common, Action& action) {
  CLI::App* command = app.add_subcommand(
      "evaluate", "what models make of texts: loss, probability, memorization, truth ratio");
  auto words = std::make_shared<Words>();
  add_list(*command, "--model", words->models,
           "a checkpoint; repeatable: all see the tokens that the first one's tokenizer makes")
      ->required()
      ->type_name("DIR|NAME=DIR");
  add_list(*command, "--data", words->data, "a named data set; repeatable")
      ->required()
      ->type_name("NAME=FILE");
  add_list(*command, "--forget", words->forget, "a data set that was to be forgotten; repeatable")
      ->type_name("NAME");
  add_list(*command, "--holdout", words->holdout,
           "a data set that no model was trained on, for membership; repeatable")
      ->type_name("NAME");
  command->add_option("--min-k", words->min_k, "share of the tokens that Min-K% looks at")
      ->capture_default_str();
  add_text_options(*command, common, words->rendering, words->max_length);
  add_machine_options(*command, words->device, common);
  command->add_option("--json", words->json, "write JSON to FILE, or to standard output with -")
      ->type_name("FILE");
  command->callback([words, command, &common, &action] {
    action = [words, command, &common] {
      const EvaluateOptions options = parse(*words);
      if (command->count("--json") > 0 && parse_path("--json", words->json) != "-") {
        std::vector<std::filesystem::path> inputs;
        for (const auto& [name, model] : options.models) inputs.push_back(model);
        for (const auto& [name, file] : options.data) inputs.push_back(file);
        check_text_file_target(words->json, inputs);
      }
      apply_threads(common);
      const EvaluateResult result = jobs().evaluate(options, progress_bar(common.quiet));
      clear_progress_bar();
      const std::string json = result.to_json().dump(1) + "\n";
      if (words->json == "-") {
        std::cout << json;
        return;
      }
      if (!words->json.empty()) replace_text_file(words->json, json);
      if (!common.quiet) print_table(result);
    };
  });
}

}  // namespace sagesan::cli
