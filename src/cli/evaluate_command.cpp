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

struct EvaluateWords {
  RenderingWords rendering;
  std::string max_length = "512", device = "auto", min_k = "0.4", json;
  bool generate = false;
  std::string max_new_tokens = "200", generate_memory = "8GiB";
  std::vector<std::string> models, data, forget, holdout;
  std::string reference, retain, real_authors, world_facts;
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

/// The data sets of the model utility: three or none.
std::optional<EvaluateOptions::Utility> parse_utility(const EvaluateWords& words,
                                                      const std::set<std::string>& known) {
  const std::pair<const char*, const std::string&> roles[] = {
      {"--retain", words.retain},
      {"--real-authors", words.real_authors},
      {"--world-facts", words.world_facts}};
  const char* given = nullptr;
  const char* missing = nullptr;
  for (const auto& [option, name] : roles) {
    (name.empty() ? missing : given) = option;
    if (!name.empty()) parse_names(option, {name}, known);
  }
  if (given == nullptr) return std::nullopt;
  if (missing != nullptr) {
    throw UsageError(
        fmt::format("{}: the model utility needs {} as well, and --generate", given, missing));
  }
  if (!words.generate)
    throw UsageError(fmt::format("{}: the model utility needs --generate as well", given));
  return EvaluateOptions::Utility{words.retain, words.real_authors, words.world_facts};
}

EvaluateOptions parse(const EvaluateWords& words) {
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
    check_text_name("--data", name);
    if (!names.insert(name).second)
      throw UsageError(fmt::format("--data: the name {} is given twice", quote(name)));
    options.data.emplace_back(name, parse_path("--data", word.substr(equals + 1)));
  }
  options.forget = parse_names("--forget", words.forget, names);
  options.holdout = parse_names("--holdout", words.holdout, names);
  options.utility = parse_utility(words, names);
  if (!words.reference.empty()) {
    if (options.forget.empty())
      throw UsageError("--reference: say with --forget which data sets are compared with it");
    options.reference = parse_path("--reference", words.reference);
  }
  options.min_k = parse_number("--min-k", words.min_k, 0, 1);
  if (words.generate) {
    options.generation = {
        .max_new_tokens = parse_integer("--max-new-tokens", words.max_new_tokens, 1, 1 << 20),
        .memory = static_cast<int64_t>(parse_size("--generate-memory", words.generate_memory))};
  }
  options.rendering = parse_rendering(words.rendering);
  options.max_length = parse_max_length(words.max_length);
  return options;
}

std::string or_dash(const std::optional<Figure>& figure) {
  return figure ? fmt::format("{:.4f}", figure->aggregate) : "-";
}

void print_table(const EvaluateResult& result, bool generated) {
  const bool several = result.models.size() > 1;
  size_t width = 0;
  if (several) {
    for (const auto& model : result.models) width = std::max(width, model.name.size() + 2);
  }
  std::cout << fmt::format("{:<{}}{:<20} {:>8} {:>9} {:>10} {:>12} {:>12} {:>9} {:>10} {:>8}{}\n",
                           several ? "model" : "", width, "data", "records", "tokens", "mean nll",
                           "perplexity", "probability", "memorized", "extraction", "truth",
                           generated ? "  rouge-L" : "");
  for (const auto& model : result.models) {
    const std::string name = several ? printable(model.name) : "";
    for (size_t i = 0; i < result.data_sets.size(); ++i) {
      const LikelihoodSummary summary = model.summary(i);
      const std::vector<RecordScore>& scores = model.scores[i];
      std::cout << fmt::format(
          "{:<{}}{:<20} {:>8} {:>9} {:>10.4f} {:>12.4g} {:>12.4f} {:>9} {:>10} {:>8}", name, width,
          printable(result.data_sets[i].name), summary.records, summary.tokens,
          summary.mean_negative_log_likelihood, summary.perplexity, summary.mean_answer_probability,
          or_dash(exact_memorization(scores)), or_dash(extraction_strength(scores)),
          or_dash(truth_ratio(scores, result.data_sets[i].forget)));
      if (generated) {
        std::cout << fmt::format(" {:>8}",
                                 or_dash(rouge(scores, &GeneratedAnswer::rouge_l_recall)));
      }
      std::cout << "\n";
    }
    const auto print = [&](const char* figure, const std::optional<double>& value) {
      if (value) std::cout << fmt::format("{:<{}}{} {:.4g}\n", name, width, figure, *value);
    };
    print("membership by Min-K%: AUC", model.membership);
    print("PrivLeak, in percent:", model.privacy_leak);
    print("forget quality: p-value", model.forget_quality);
    print("model utility:", model.model_utility);
  }
}

}  // namespace

void add_evaluate(CLI::App& app, Common& common, Action& action) {
  CLI::App* command = app.add_subcommand(
      "evaluate", "what models make of texts: loss, probability, memorization, truth ratio");
  auto words = std::make_shared<EvaluateWords>();
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
  command
      ->add_option("--reference", words->reference,
                   "evaluation of a model trained without the forget sets: JSON of this "
                   "command or open-unlearning's, for forget quality and PrivLeak")
      ->type_name("FILE");
  command->add_option("--retain", words->retain, "TOFU's retain set, for the model utility")
      ->type_name("NAME");
  command->add_option("--real-authors", words->real_authors, "its set on real authors, likewise")
      ->type_name("NAME");
  command->add_option("--world-facts", words->world_facts, "its set on world facts, likewise")
      ->type_name("NAME");
  command->add_option("--min-k", words->min_k, "share of the tokens that Min-K% looks at")
      ->type_name("X")
      ->capture_default_str();
  command->add_flag(
      "--generate", words->generate,
      "let the models answer, always with the likeliest token, and compare (ROUGE); slow");
  command->add_option("--max-new-tokens", words->max_new_tokens, "longest generated answer")
      ->type_name("N")
      ->capture_default_str();
  command
      ->add_option("--generate-memory", words->generate_memory,
                   "for weights, and for keys and values, while generating")
      ->type_name("SIZE")
      ->capture_default_str();
  add_text_options(*command, common, words->rendering, words->max_length);
  add_machine_options(*command, words->device, common);
  command->add_option("--json", words->json, "write JSON to FILE, or to standard output with -")
      ->type_name("FILE");
  command->callback([words, command, &common, &action] {
    action = [words, command, &common] {
      for (const char* option : {"--max-new-tokens", "--generate-memory"}) {
        if (!words->generate && command->count(option) > 0)
          throw UsageError(fmt::format("{}: nothing is generated without --generate", option));
      }
      const EvaluateOptions options = parse(*words);
      if (command->count("--json") > 0 && parse_path("--json", words->json) != "-") {
        std::vector<std::filesystem::path> inputs;
        for (const auto& [name, model] : options.models) inputs.push_back(model);
        for (const auto& [name, file] : options.data) inputs.push_back(file);
        if (options.reference) inputs.push_back(*options.reference);
        check_text_file_target(words->json, inputs);
      }
      apply_threads(common);
      const EvaluateResult result =
          jobs().evaluate(options, progress_bar(common.quiet), notice(common.quiet));
      clear_progress_bar();
      const std::string json = result.to_json().dump(1) + "\n";
      if (words->json == "-") {
        std::cout << json;
        return;
      }
      if (!words->json.empty()) replace_text_file(words->json, json);
      if (!common.quiet) print_table(result, words->generate);
    };
  });
}

}  // namespace sagesan::cli
