#include <fmt/format.h>

#include <iostream>

#include "command.h"
#include "sagesan/jobs/collect.h"

namespace sagesan::cli {

void add_merge(CLI::App& app, Common& common, Action& action) {
  CLI::App* command =
      app.add_subcommand("merge", "add up moments that were collected over parts of the texts");
  struct Words {
    std::vector<std::string> files;
    std::string out;
    bool overwrite = false;
  };
  auto words = std::make_shared<Words>();
  command->add_option("files", words->files, "moments files of one model, at least two")
      ->required()
      ->type_name("FILE");
  command->add_option("--out", words->out, "moments file to write")->required()->type_name("FILE");
  command->add_flag("--overwrite", words->overwrite, "replace an earlier moments file");
  command->callback([words, &common, &action] {
    action = [words, &common] {
      MergeOptions options{.out = parse_path("--out", words->out), .overwrite = words->overwrite};
      for (const std::string& file : words->files)
        options.files.push_back(parse_path("merge", file));
      if (options.files.size() < 2) throw UsageError("merge: expected at least two files");
      const MomentsSummary result =
          jobs().merge(options, progress_bar(common.quiet), notice(common.quiet));
      clear_progress_bar();
      if (common.quiet) return;
      std::cout << fmt::format("merged {} files: {} sites, {} tokens\nwritten to {}\n",
                               options.files.size(), result.sites, result.tokens,
                               printable(options.out.string()));
    };
  });
}

}  // namespace sagesan::cli
