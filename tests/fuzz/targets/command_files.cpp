#include <CLI/CLI.hpp>

#include "cli/batch_manifest.h"
#include "cli/command.h"
#include "fuzz/fuzz.h"
#include "sagesan/support/error.h"

// What stands for words of the command line: the manifest of `batch` and --config. Nothing is run.

namespace sagesan::fuzz {

FUZZ_TARGET(manifest) {
  const auto path = put("batch.json", bytes);
  loads_or_refuses(
      [&] {
        for (const BatchJob& job : cli::read_manifest(path, {}))
          require(!job.name.empty(), "a job without a name");
      },
      ":");
}

FUZZ_TARGET(config_file) {
  const auto path = put("sagesan.toml", bytes);
  loads_or_refuses(
      [&] {
        CLI::App app;
        cli::Common common;
        cli::Action action;
        cli::add_sanitize(app, common, action);
        cli::add_collect(app, common, action);
        cli::add_config(app, common);
        try {
          app.parse("--config " + path.string() + " collect");
        } catch (const CLI::ParseError& error) {
          throw UsageError(printable(error.what()));
        }
        cli::check_exclusions(common);
      },
      " ");
}

}  // namespace sagesan::fuzz
