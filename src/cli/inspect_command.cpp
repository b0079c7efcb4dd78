#include <fmt/format.h>

#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "command.h"
#include "sagesan/jobs/inspect.h"

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
            << (result.architecture.empty() ? "" : " (" + result.architecture + ")") << "\n";
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

}  // namespace

void add_inspect(CLI::App& app, Common& common, Action& action) {
  CLI::App* command = app.add_subcommand("inspect", "show what unlearning changed; runs no model");
  struct Words {
    std::string base, unlearned;
    bool json = false;
  };
  auto words = std::make_shared<Words>();
  add_pair_options(*command, words->base, words->unlearned);
  command->add_flag("--json", words->json, "print JSON on standard output");
  command->callback([words, &common, &action] {
    action = [words, &common] {
      const std::filesystem::path base = parse_path("--base", words->base);
      const std::filesystem::path unlearned = parse_path("--unlearned", words->unlearned);
      apply_threads(common);
      const InspectResult result = jobs().inspect(base, unlearned, progress_bar(common.quiet));
      clear_progress_bar();
      if (words->json) {
        std::cout << result.to_json().dump(1) << "\n";
      } else {
        print_table(result);
      }
    };
  });
}

}  // namespace sagesan::cli
