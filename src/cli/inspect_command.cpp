#include <fmt/format.h>

#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "bias_table.h"
#include "command.h"
#include "sagesan/jobs/inspect.h"
#include "sagesan/support/error.h"

namespace sagesan::cli {
namespace {

/// One line of the table: all changed tensors of one layer and kind.
struct Group {
  int64_t tensors = 0;
  double squared_norm = 0;
  double largest_relative = 0;
};

void print_table(const InspectResult& result) {
  std::cout << fmt::format("{} of {} tensors changed", result.changed.size(), result.tensors_total)
            << (result.architecture.empty() ? "" : " (" + printable(result.architecture) + ")")
            << "\n";
  if (result.changed.empty()) return;
  constexpr int64_t kOutside = std::numeric_limits<int64_t>::max();
  std::map<std::pair<int64_t, std::string>, Group> groups;
  for (const ChangedTensor& tensor : result.changed) {
    Group& group = groups[{tensor.layer.value_or(kOutside), tensor.kind}];
    ++group.tensors;
    group.squared_norm += std::pow(tensor.update_norm.value_or(0), 2);
    group.largest_relative = std::max(group.largest_relative, tensor.relative_norm.value_or(0));
  }
  std::cout << fmt::format("{:>7}  {:<15} {:>8} {:>12} {:>18}\n", "layer", "kind", "tensors",
                           "|update|", "largest |u|/|base|");
  for (const auto& [key, group] : groups) {
    std::cout << fmt::format("{:>7}  {:<15} {:>8} {:>12.4g} {:>18.4g}\n",
                             key.first == kOutside ? "-" : std::to_string(key.first), key.second,
                             group.tensors, std::sqrt(group.squared_norm), group.largest_relative);
  }
}

struct InspectWords {
  std::string base, unlearned;
  std::vector<std::string> sanitized, moments;
  bool json = false;
};

using NamedPath = std::pair<std::string, std::filesystem::path>;

void add_named(const std::string& option, NamedPath named, std::vector<NamedPath>& list) {
  for (const NamedPath& other : list) {
    if (other.first == named.first) {
      throw UsageError(
          fmt::format("{}: the name {} is given twice; say NAME=PATH", option, quote(named.first)));
    }
  }
  list.push_back(std::move(named));
}

InspectOptions parse(const InspectWords& words) {
  InspectOptions options{.base = parse_path("--base", words.base)};
  options.models = {{"unlearned", parse_path("--unlearned", words.unlearned)}};
  for (const std::string& word : words.sanitized)
    add_named("--sanitized", parse_named_path("--sanitized", word), options.models);
  for (const std::string& word : words.moments)
    add_named("--moments", parse_named_path("--moments", word), options.moments);
  if (options.moments.empty() && !words.sanitized.empty())
    throw UsageError("--sanitized is measured on moments: give --moments, too");
  return options;
}

}  // namespace

void add_inspect(CLI::App& app, Common& common, Action& action) {
  CLI::App* command = app.add_subcommand("inspect", "show what unlearning changed; runs no model");
  auto words = std::make_shared<InspectWords>();
  add_pair_options(*command, words->base, words->unlearned);
  add_list(*command, "--moments", words->moments,
           "moments that 'collect' wrote: measure the activation bias there; repeatable")
      ->type_name("FILE|NAME=FILE");
  add_list(*command, "--sanitized", words->sanitized,
           "with --moments: a further checkpoint of the base to measure; repeatable")
      ->type_name("DIR|NAME=DIR");
  command->add_flag("--json", words->json, "print JSON on standard output");
  command->callback([words, &common, &action] {
    action = [words, &common] {
      const InspectOptions options = parse(*words);
      apply_threads(common);
      const InspectResult result = jobs().inspect(options, progress_bar(common.quiet));
      clear_progress_bar();
      if (words->json) {
        std::cout << result.to_json().dump(1) << "\n";
      } else {
        print_table(result);
        print_bias_tables(result, common.verbose);
      }
    };
  });
}

}  // namespace sagesan::cli
