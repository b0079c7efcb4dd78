#include <fmt/format.h>

#include <iostream>
#include <limits>
#include <nlohmann/json.hpp>

#include "command.h"
#include "sagesan/support/file.h"

namespace sagesan::cli {
namespace {

using demo::DemoResult;
using demo::MethodResult;
using demo::Retention;

struct DemoWords {
  std::string out, seed = "1", seeds = "1", device = "cpu", json;
  bool overwrite = false;
};

std::string cell(const std::optional<double>& value) {
  return value ? fmt::format("{:10.3f}", *value) : fmt::format("{:>10}", "-");
}

void print_row(const std::string& name, const std::optional<double>& forget,
               const std::optional<double>& heldout) {
  std::cout << fmt::format("  {:<28}{}{}\n", name, cell(forget), cell(heldout));
}

void print_retention(const Retention& retention) {
  if (!retention.scaled && !retention.random && !retention.sanitized) {
    std::cout << "  held-out probability at equal forgetting: the approaches do not meet\n";
    return;
  }
  std::cout << fmt::format("  held-out probability at forget probability {:.3f}:\n",
                           retention.forget);
  print_row("  update scaled down", {}, retention.scaled);
  print_row("  random directions (control)", {}, retention.random);
  print_row("  sanitized", {}, retention.sanitized);
}

void print_table(const DemoResult& result, int64_t first_seed) {
  for (const MethodResult& method : result.methods) {
    std::cout << fmt::format("seed {}, {}\n  {:<28}{:>10}{:>10}\n", method.seed, method.method, "",
                             "forget", "held-out");
    const auto& base = result.base.at(static_cast<size_t>(method.seed - first_seed));
    print_row("base", base.forget, base.heldout);
    print_row("unlearned", method.unlearned.forget, method.unlearned.heldout);
    for (const auto& [approach, strength, scores] : method.variants) {
      const std::string name = approach == "scaled"
                                   ? fmt::format("update times {:.2g}", 1 / (1 + strength))
                                   : fmt::format("{}, strength {:g}", approach, strength);
      print_row(name, scores.forget, scores.heldout);
    }
    print_retention(method.retention);
  }
  if (result.base.size() < 2) return;
  for (const char* method : {"ga", "graddiff", "npo"}) {
    std::cout << "mean over the seeds, " << method << "\n";
    print_retention(result.mean_retention(method));
  }
}

}  // namespace

void add_demo(CLI::App& app, Common& common, Action& action) {
  CLI::App* command = app.add_subcommand(
      "demo", "make tiny models that unlearned made-up authors, and sanitize them");
  auto words = std::make_shared<DemoWords>();
  command->add_option("--out", words->out, "keep the models and texts in this directory")
      ->type_name("DIR");
  command->add_option("--seed", words->seed, "of the made-up authors and the models")
      ->type_name("N")
      ->capture_default_str();
  command->add_option("--seeds", words->seeds, "how many, counting up from --seed")
      ->type_name("N")
      ->capture_default_str();
  add_machine_options(*command, words->device, common);
  command->add_option("--json", words->json, "write JSON to FILE, or to standard output with -")
      ->type_name("FILE");
  command->add_flag("--overwrite", words->overwrite, "replace an earlier demo's directory");
  command->callback([words, command, &common, &action] {
    action = [words, command, &common] {
      const demo::DemoOptions options{
          .out = words->out,
          .seed = parse_integer("--seed", words->seed, 0, std::numeric_limits<int32_t>::max()),
          .seeds = parse_integer("--seeds", words->seeds, 1, 1000),
          .device = words->device,
          .overwrite = words->overwrite};
      if (command->count("--out") > 0) parse_path("--out", words->out);
      if (command->count("--json") > 0 && parse_path("--json", words->json) != "-") {
        std::vector<std::filesystem::path> taken;
        if (!words->out.empty()) taken.emplace_back(words->out);
        check_text_file_target(words->json, taken);
      }
      // Such small products only lose by being shared out.
      if (command->count("--threads") == 0) common.threads = "1";
      apply_threads(common);
      const DemoResult result =
          jobs().demo(options, progress_bar(common.quiet), notice(common.quiet));
      clear_progress_bar();
      const std::string json = result.to_json().dump(1) + "\n";
      if (words->json == "-") {
        std::cout << json;
        return;
      }
      if (!words->json.empty()) replace_text_file(words->json, json);
      if (!common.quiet) print_table(result, options.seed);
    };
  });
}

}  // namespace sagesan::cli
