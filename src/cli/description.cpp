#include "description.h"

#include <algorithm>

namespace sagesan::cli {

std::vector<std::string> OptionDescription::choices() const {
  std::vector<std::string> words;
  if (type.find('|') == std::string::npos) return words;
  const auto is_capital = [](char c) { return c >= 'A' && c <= 'Z'; };
  for (const std::string& word : CLI::detail::split(type, '|')) {
    if (std::none_of(word.begin(), word.end(), is_capital)) words.push_back(word);
  }
  return words;
}

CommandDescription describe(const CLI::App& command) {
  CommandDescription result{.name = command.get_name(), .help = command.get_description()};
  for (const CLI::Option* option : command.get_options()) {
    OptionDescription description{.help = option->get_description(),
                                  .default_value = option->get_default_str(),
                                  .required = option->get_required()};
    for (const std::string& name : option->get_snames()) description.names.push_back("-" + name);
    for (const std::string& name : option->get_lnames()) description.names.push_back("--" + name);
    description.positional = description.names.empty();
    if (description.positional) description.names.push_back(option->get_name());
    if (option->get_items_expected_max() > 0) description.type = option->get_type_name();
    description.repeatable = option->get_multi_option_policy() == CLI::MultiOptionPolicy::TakeAll ||
                             option->get_items_expected_max() > 1;
    result.options.push_back(std::move(description));
  }
  return result;
}

std::vector<CommandDescription> describe_subcommands(const CLI::App& app) {
  std::vector<CommandDescription> result;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    result.push_back(describe(*command));
  }
  return result;
}

}  // namespace sagesan::cli
