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
  std::string model, max_length = "512", device = "auto", json;
  std::vector<std::string> data;
};

EvaluateOptions parse(const Words& words) {
  EvaluateOptions options{.model = parse_path("--model", words.model), .device = words.device};
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
  options.rendering = parse_rendering(words.rendering);
  options.max_length = parse_integer("--max-length", words.max_length, 1, 1 << 24);
  return options;
}

void print_table(const EvaluateResult& result) {
  std::cout << fmt::format("{:<20} {:>8} {:>9} {:>10} {:>12} {:>12}\n", "data", "records", "tokens",
                           "mean nll", "perplexity", "probability");
  for (const auto& set : result.data_sets) {
    std::cout << fmt::format("{:<20} {:>8} {:>9} {:>10.4f} {:>12.4g} {:>12.4f}\n", set.name,
                             set.summary.records, set.summary.tokens,
                             set.summary.mean_negative_log_likelihood, set.summary.perplexity,
                             set.summary.mean_answer_probability);
  }
}

}  // namespace

void add_evaluate(CLI::App& app, Common& common, Action& action) {
  CLI::App* command =
      app.add_subcommand("evaluate", "loss, perplexity and answer probability of a model on texts");
  auto words = std::make_shared<Words>();
  command->add_option("--model", words->model, "checkpoint")->required()->type_name("DIR");
  add_list(*command, "--data", words->data, "a named data set; repeatable")
      ->required()
      ->type_name("NAME=FILE");
  add_text_options(*command, common, words->rendering, words->max_length);
  add_machine_options(*command, words->device, common);
  command->add_option("--json", words->json, "write JSON to FILE, or to standard output with -")
      ->type_name("FILE");
  command->callback([words, command, &common, &action] {
    action = [words, command, &common] {
      const EvaluateOptions options = parse(*words);
      if (command->count("--json") > 0 && parse_path("--json", words->json) != "-") {
        std::vector<std::filesystem::path> inputs = {options.model};
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
