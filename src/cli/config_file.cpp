// Header-only and without exceptions, whatever the distribution's library was built with.
#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#include <fmt/format.h>
#include <toml++/toml.h>

#include <map>

#include "command.h"
#include "nearest_name.h"
#include "sagesan/support/error.h"
#include "sagesan/support/file.h"
#include "toml_characters.h"

namespace sagesan::cli {
namespace {

/// One file given with --config. CLI11's own reader gets lists and `#` wrong and ignores misspelt
/// keys, so the file is read here and its values are handed to CLI11 as if they were typed.
class ConfigFile {
 public:
  explicit ConfigFile(const std::string& path)
      : path_(path), text_(read_text_file(parse_path("--config", path), 1 << 20)) {
    check_toml_characters(text_, path_);
    toml::parse_result result = toml::parse(text_);
    if (!result) {
      throw InputError(fmt::format("{}:{}", path_, result.error().source().begin.line),
                       printable(result.error().description()));
    }
    root_ = std::move(result).table();
  }

  /// Checks every section, and gives the parsed subcommand the values that were not typed.
  void apply(CLI::App& app, Common& common) const {
    PendingWords pending;
    std::map<const CLI::Option*, const toml::node*> places;
    for (const auto& [name, node] : root_) {
      CLI::App* command = find_command(app, std::string(name.str()));
      if (!node.is_table() && command != nullptr) {
        refuse(node, fmt::format("expected a section [{}]", command->get_name()));
      } else if (!node.is_table()) {
        refuse(node, fmt::format("unknown key {} outside the sections", quote(name.str())));
      } else if (command == nullptr) {
        refuse(node, fmt::format("unknown section [{}]", printable(name.str())));
      }
      for (const auto& [key, value] : *node.as_table()) {
        CLI::Option* option = find_option(*command, std::string(key.str()));
        if (option == nullptr) {
          refuse(value,
                 fmt::format("unknown key {} in [{}]{}", quote(key.str()), command->get_name(),
                             did_you_mean(key.str(), option_names(*command))));
        }
        std::vector<std::string> words = read(*option, std::string(key.str()), value);
        if (!command->parsed() || option->count() > 0) continue;  // what was typed wins
        if (words.empty()) continue;
        pending[option] = std::move(words);
        places[option] = &value;
      }
    }
    // What was typed wins over its opposite, too.
    const auto note = [&](const CLI::Option& dropped, const CLI::Option& typed) {
      common.notes.push_back(fmt::format("{}: {} is not used beside the typed {}",
                                         place_of(*places.at(&dropped)),
                                         dropped.get_lnames().front(), typed.get_name()));
    };
    const Exclusion* contradicted = drop_excluded(common, pending, note);
    if (contradicted != nullptr) refuse(*places.at(contradicted->option), contradicted->message());
    for (const auto& [option, words] : pending) {
      common.config_places[option->get_name()] = place_of(*places.at(option));
      for (const std::string& word : words) option->add_result(word);
    }
  }

 private:
  std::string place_of(const toml::node& node) const {
    return fmt::format("{}:{}", printable(path_), node.source().begin.line);
  }

  [[noreturn]] void refuse(const toml::node& node, const std::string& message) const {
    throw UsageError(fmt::format("{}: {}", place_of(node), message));
  }

  static CLI::App* find_command(CLI::App& app, const std::string& name) {
    for (CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
      if (command->get_name() == name) return command;
    }
    return nullptr;
  }

  /// The words that would have been typed after the option; for a flag, one where it is set.
  std::vector<std::string> read(const CLI::Option& option, const std::string& key,
                                const toml::node& node) const {
    if (option.get_items_expected_max() == 0) {
      if (!node.is_boolean()) refuse(node, key + ": expected true or false");
      return node.as_boolean()->get() ? std::vector<std::string>{"true"}
                                      : std::vector<std::string>{};
    }
    if (!node.is_array()) return {read_word(option, key, node)};
    if (option.get_multi_option_policy() != CLI::MultiOptionPolicy::TakeAll) {
      refuse(node, key + ": expected one value, found a list");
    }
    std::vector<std::string> words;
    for (const toml::node& item : *node.as_array()) words.push_back(read_word(option, key, item));
    return words;
  }

  std::string read_word(const CLI::Option& option, const std::string& key,
                        const toml::node& node) const {
    if (takes_number(option)) {
      if (!node.is_number()) refuse(node, key + ": expected a number");
      return written(node, key);
    }
    if (!node.is_string()) refuse(node, key + ": expected a string");
    return node.as_string()->get();
  }

  /// A number as it stands in the file, without what TOML alone allows: the option's own check then
  /// sees 1.0 and 1 apart.
  std::string written(const toml::node& number, const std::string& key) const {
    const toml::source_position begin = number.source().begin;
    size_t start = 0;
    for (toml::source_index line = 1; line < begin.line; ++line)
      start = text_.find('\n', start) + 1;
    // Columns count characters, not bytes.
    const auto continues = [&] {
      return (static_cast<unsigned char>(text_[start]) & 0xC0) == 0x80;
    };
    for (toml::source_index column = 1; column < begin.column; ++column) {
      for (++start; start < text_.size() && continues();) ++start;
    }
    std::string word = text_.substr(start, text_.find_first_of(" \t\r\n,]}#", start) - start);
    if (word.find_first_not_of("0123456789.eE+-_") != std::string::npos)
      refuse(number, fmt::format("{}: expected a decimal number, found {}", key, word));
    std::erase(word, '_');
    return word.substr(word.starts_with('+') ? 1 : 0);
  }

  std::string path_;
  std::string text_;
  toml::table root_;
};

}  // namespace

bool takes_number(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  return type.size() == 1 && type[0] >= 'A' && type[0] <= 'Z';
}

void add_config(CLI::App& app, Common& common) {
  // CLI11 runs this before the subcommand's own options and before it looks for required ones.
  app.add_option_function<std::string>(
         "--config",
         [&app, &common](const std::string& path) {
           ConfigFile(path).apply(app, common);
           common.config = path;
         },
         "options from a TOML file: a section a subcommand, a key an option; what is typed wins")
      ->type_name("FILE");
}

std::string with_config_place(const Common& common, const std::string& message) {
  const auto place = common.config_places.find(message.substr(0, message.find_first_of(" :")));
  return place == common.config_places.end() ? message : place->second + ": " + message;
}

void check_config_is_kept(const CLI::App& command, const Common& common) {
  if (common.config.empty()) return;
  for (const char* name :
       {"--out", "--report", "--html", "--json", "--junit", "--summary", "--cache"}) {
    const CLI::Option* option = command.get_option_no_throw(name);
    if (option == nullptr || option->count() == 0 || option->get_items_expected_max() == 0)
      continue;
    for (const std::string& path : option->results()) {
      if (path != "-") check_outside(path, {common.config});
    }
  }
}

}  // namespace sagesan::cli
