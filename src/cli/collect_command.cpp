#include <fmt/format.h>

#include <iostream>
#include <limits>

#include "command.h"
#include "sagesan/jobs/collect.h"

namespace sagesan::cli {
namespace {

struct CollectWords {
  std::string base, out;
  std::vector<std::string> retain;
  RenderingWords rendering;
  std::string max_length = "512", max_tokens = "0", token_cap = "0", device = "auto";
  bool overwrite = false;
};

CollectOptions parse(const CollectWords& words) {
  CollectOptions options{.base = parse_path("--base", words.base),
                         .out = parse_path("--out", words.out)};
  for (const std::string& file : words.retain)
    options.retain.push_back(parse_path("--retain", file));
  options.rendering = parse_rendering(words.rendering);
  options.max_length = parse_max_length(words.max_length);
  options.max_tokens =
      parse_integer("--max-tokens", words.max_tokens, 0, std::numeric_limits<int64_t>::max());
  options.token_cap = parse_number("--token-cap", words.token_cap, 0, 1e12);
  options.device = words.device;
  options.overwrite = words.overwrite;
  return options;
}

}  // namespace

void add_collect(CLI::App& app, Common& common, Action& action) {
  CLI::App* command = app.add_subcommand(
      "collect", "run a model over retain texts and keep the moments of every site");
  auto words = std::make_shared<CollectWords>();
  command->add_option("--base", words->base, "checkpoint that runs")->required()->type_name("DIR");
  add_list(*command, "--retain", words->retain,
           "texts that the model should keep (JSONL, JSON or plain text); repeatable")
      ->required()
      ->type_name("FILE");
  command->add_option("--out", words->out, "moments file to write (safetensors)")
      ->required()
      ->type_name("FILE");
  add_text_options(*command, common, words->rendering, words->max_length);
  add_max_tokens(*command, words->max_tokens);
  add_token_cap(*command, words->token_cap);
  add_machine_options(*command, words->device, common);
  command->add_flag("--overwrite", words->overwrite, "replace an earlier moments file");
  command->callback([words, &common, &action] {
    action = [words, &common] {
      const CollectOptions options = parse(*words);
      apply_threads(common);
      const MomentsSummary result =
          jobs().collect(options, progress_bar(common.quiet), notice(common.quiet));
      clear_progress_bar();
      if (common.quiet) return;
      std::cout << fmt::format("collected {} sites over {} tokens\nwritten to {}\n", result.sites,
                               result.tokens, printable(options.out.string()));
    };
  });
}

}  // namespace sagesan::cli
