#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "batch_manifest.h"
#include "command.h"
#include "sagesan/jobs/batch.h"
#include "sagesan/support/error.h"
#include "sagesan/support/file.h"

namespace sagesan::cli {
namespace {

struct BatchWords {
  std::string manifest, cache, summary, device;
  bool keep_moments = false, overwrite = false, dry_run = false, json = false;
};

/// Beside the manifest.
std::filesystem::path own_cache(const std::filesystem::path& manifest) {
  return manifest.parent_path() / ("." + manifest.filename().string() + ".moments");
}

void check_summary(const BatchOptions& options, const std::filesystem::path& manifest) {
  std::vector<std::filesystem::path> inputs = {manifest};
  for (const BatchJob& job : options.jobs) {
    const std::vector<std::filesystem::path> read = job_inputs(job.options);
    inputs.insert(inputs.end(), read.begin(), read.end());
  }
  check_text_file_target(options.summary, inputs);
}

BatchOptions parse(const BatchWords& words, const Common& common) {
  const std::filesystem::path manifest = parse_path("manifest", words.manifest);
  BatchOptions options{
      .cache = words.cache.empty() ? own_cache(manifest) : std::filesystem::path(words.cache),
      .own_cache = words.cache.empty(),
      .keep_moments = words.keep_moments,
      .summary = words.summary,
      .overwrite = words.overwrite,
      .dry_run = words.dry_run};
  std::vector<std::filesystem::path> also = {manifest, options.cache};
  if (!options.summary.empty()) also.push_back(options.summary);
  if (!common.config.empty()) also.emplace_back(common.config);
  options.jobs = read_manifest(manifest, also);
  if (!words.device.empty()) {
    for (BatchJob& job : options.jobs) job.options.device = words.device;
  }
  if (!options.summary.empty()) check_summary(options, manifest);
  return options;
}

BatchEvents make_events(bool quiet) {
  return {.progress = progress_bar(quiet),
          .status =
              [quiet](const std::string& line) {
                if (quiet) return;
                clear_progress_bar();
                spdlog::info(line);
              },
          .notice = notice(quiet),
          .failure =
              [](const std::string& line) {
                clear_progress_bar();
                spdlog::error(line);
              }};
}

void print_table(const BatchResult& result) {
  size_t width = 4;
  for (const BatchJobResult& job : result.jobs) width = std::max(width, printable(job.name).size());
  std::cout << fmt::format("{:<{}}  {:<10} {:>8} {:>10} {:>10} {:>9}\n", "job", width, "status",
                           "changed", "kept bias", "kept norm", "seconds");
  const auto percent = [](const std::optional<double>& share) {
    return share ? fmt::format("{:.1f} %", *share * 100) : std::string("-");
  };
  for (const BatchJobResult& job : result.jobs) {
    std::cout << fmt::format("{:<{}}  {:<10} {:>8} {:>10} {:>10} {:>9.1f}\n", printable(job.name),
                             width, result.status_name(job),
                             job.changed ? std::to_string(*job.changed) : "-",
                             percent(job.kept_bias), percent(job.kept_norm), job.seconds);
  }
}

/// One line on why not all is well.
std::string last_word(const BatchResult& result) {
  const int64_t failed = result.count(BatchStatus::kFailed);
  const int64_t ready = result.count(BatchStatus::kDone) + result.count(BatchStatus::kSkipped);
  if (result.interrupted) {
    return fmt::format("interrupted; {} of {} jobs are done, the same command does the others",
                       ready, result.jobs.size());
  }
  if (failed == 0) return result.other->message;
  return (result.other ? result.other->message + "\n" : "") +
         fmt::format("{} of {} jobs failed", failed, result.jobs.size());
}

}  // namespace

void add_batch(CLI::App& app, Common& common, Action& action) {
  CLI::App* command =
      app.add_subcommand("batch", "sanitize the pairs of a manifest; what is done is skipped");
  auto words = std::make_shared<BatchWords>();
  command
      ->add_option("manifest", words->manifest,
                   "JSON with the jobs, each with options of sanitize (docs/batch.md); file names "
                   "are relative to its directory")
      ->required()
      ->type_name("FILE");
  command
      ->add_option("--cache", words->cache,
                   "where the moments lie that jobs of one base share; .MANIFEST.moments beside "
                   "the manifest where absent")
      ->type_name("DIR");
  command->add_flag("--keep-moments", words->keep_moments, "leave them there for another run");
  command
      ->add_option("--summary", words->summary,
                   "a summary of all jobs (JSON), replaced after every job")
      ->type_name("FILE");
  command->add_flag("--json", words->json, "print the summary on standard output");
  // Its default is each job's own.
  add_machine_options(*command, words->device, common);
  command->add_flag("--dry-run", words->dry_run, "check everything and say what would be done");
  command->add_flag("--overwrite", words->overwrite,
                    "replace outputs made with other options or inputs");
  command->callback([words, command, &common, &action] {
    action = [words, command, &common] {
      for (const auto& [name, word] : {std::pair{"--cache", &words->cache},
                                       {"--summary", &words->summary},
                                       {"--device", &words->device}}) {
        if (command->count(name) > 0) parse_path(name, *word);
      }
      const BatchOptions options = parse(*words, common);
      apply_threads(common);
      const BatchResult result = jobs().batch(options, make_events(common.quiet));
      clear_progress_bar();
      if (words->json) {
        std::cout << result.to_json().dump(1) << "\n";
      } else if (!common.quiet) {
        print_table(result);
      }
      std::cout.flush();
      const ExitCode code = result.exit_code();
      if (code != ExitCode::kDone) throw Error(code, last_word(result));
    };
  });
}

}  // namespace sagesan::cli
