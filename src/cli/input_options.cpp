#include "input_options.h"

#include <limits>

namespace sagesan::cli {

void add_input_options(CLI::App& command, InputWords& words, const std::string& forget) {
  add_pair_options(command, words.base, words.unlearned);
  add_list(command, "--add-adapter", words.adapters,
           "a further PEFT adapter, summed with the one given as --unlearned; repeatable")
      ->type_name("DIR");
  add_list(command, "--retain", words.retain,
           "texts that the model should keep (JSONL, JSON or plain text); repeatable")
      ->type_name("FILE");
  command
      .add_option("--moments", words.moments,
                  "moments that 'collect' or 'merge' wrote, instead of --retain")
      ->type_name("FILE");
  add_list(command, "--forget", words.forget, forget)->type_name("FILE");
}

void add_run_options(CLI::App& command, Common& common, InputWords& words) {
  command
      .add_option("--anchor-floor", words.anchor_floor,
                  "with --method forget-aware: what directions that no forget text uses weigh, "
                  "against 1 for their mean")
      ->type_name("G")
      ->capture_default_str();
  add_list(command, "--include", words.include,
           "sanitize only tensors in whose name this expression is found; repeatable")
      ->type_name("REGEX");
  add_list(command, "--exclude", words.exclude,
           "leave tensors as they are in whose name this expression is found; repeatable")
      ->type_name("REGEX");
  add_text_options(command, common, words.rendering, words.max_length);
  add_max_tokens(command, words.max_tokens);
  command
      .add_option("--activations", words.activations, "the model that the retain texts run through")
      ->type_name("base|unlearned")
      ->capture_default_str();
  add_token_cap(command, words.token_cap);
  add_machine_options(command, words.device, common);
}

void parse_inputs(const CLI::App& command, const InputWords& words, SanitizeOptions& options) {
  options.base = parse_path("--base", words.base);
  options.unlearned = parse_path("--unlearned", words.unlearned);
  const bool moments = command.count("--moments") > 0;
  if (command.count("--retain") == 0 && !moments)
    throw UsageError("--retain is required (or --moments; see --help)");
  if (moments) options.moments = parse_path("--moments", words.moments);
  const auto add_paths = [](const std::string& option, const std::vector<std::string>& from,
                            std::vector<std::filesystem::path>& to) {
    for (const std::string& word : from) to.push_back(parse_path(option, word));
  };
  add_paths("--add-adapter", words.adapters, options.adapters);
  add_paths("--retain", words.retain, options.retain);
  add_paths("--forget", words.forget, options.forget);
  options.anchor_floor = parse_number("--anchor-floor", words.anchor_floor, 0, 1e6);
  if (options.anchor_floor == 0) throw UsageError("--anchor-floor 0: expected a number above 0");
  options.include = words.include;
  options.exclude = words.exclude;
  options.unlearned_activations =
      parse_choice<std::string_view>("--activations", words.activations, {"base", "unlearned"},
                                     [](std::string_view name) { return name; }) == "unlearned";
  options.token_cap = parse_number("--token-cap", words.token_cap, 0, 1e12);
  options.rendering = parse_rendering(words.rendering);
  options.max_length = parse_max_length(words.max_length);
  options.max_tokens =
      parse_integer("--max-tokens", words.max_tokens, 0, std::numeric_limits<int64_t>::max());
  options.device = words.device;
}

}  // namespace sagesan::cli
