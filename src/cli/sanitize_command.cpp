#include <fmt/format.h>

#include <iostream>
#include <limits>

#include "command.h"
#include "sagesan/jobs/sanitize.h"
#include "sagesan/support/error.h"

namespace sagesan::cli {
namespace {

/// The options as typed; numbers are parsed by us.
struct Words {
  std::string base, unlearned, out;
  std::vector<std::string> retain;
  std::string strength = "1", energy = "0.95", other = "shrink";
  std::string fields, max_length = "512", max_tokens = "0";
  std::string device = "auto", report;
  bool dry_run = false, overwrite = false;
};

OtherPolicy parse_other(const std::string& text) {
  for (const OtherPolicy policy : {OtherPolicy::kShrink, OtherPolicy::kKeep, OtherPolicy::kBase}) {
    if (text == other_policy_name(policy)) return policy;
  }
  throw UsageError(fmt::format("--other {}: expected shrink, keep or base", quote(text)));
}

SanitizeOptions parse(const Words& words) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  SanitizeOptions options{.base = parse_path("--base", words.base),
                          .unlearned = parse_path("--unlearned", words.unlearned),
                          .out = parse_path("--out", words.out)};
  for (const std::string& file : words.retain)
    options.retain.push_back(parse_path("--retain", file));
  options.strength = parse_number("--strength", words.strength, 0, 1e12);
  options.energy = parse_number("--energy", words.energy, 0, 1);
  if (options.energy == 0) throw UsageError("--energy 0: expected a number above 0, at most 1");
  options.other = parse_other(words.other);
  options.retain_fields = split_list("--retain-fields", words.fields);
  options.max_length = parse_integer("--max-length", words.max_length, 1, 1 << 24);
  options.max_tokens = parse_integer("--max-tokens", words.max_tokens, 0, kMost);
  options.device = words.device;
  options.report = words.report;
  options.overwrite = words.overwrite;
  options.dry_run = words.dry_run;
  return options;
}

void print_plan(const SanitizeResult& result) {
  const SanitizeReport& report = result.report;
  int64_t solved = 0;
  for (const TensorReport& tensor : report.tensors) solved += tensor.treatment == "solved" ? 1 : 0;
  std::cout
      << fmt::format("would sanitize {} of {} changed tensors ({} in all) of a {} model\n", solved,
                     report.tensors.size(), report.tensors_total, report.family)
      << fmt::format(
             "would run {} layers of the base model over {} retain tokens and observe {} sites\n",
             report.layers_run, report.tokens, report.sites.size())
      << fmt::format("would write {:.1f} MiB of weights; nothing was written\n",
                     static_cast<double>(result.output_bytes) / (1 << 20));
}

void print_tensors(const SanitizeReport& report) {
  const auto number = [](const std::optional<double>& value) {
    return value ? fmt::format("{:.3g}", *value) : std::string("-");
  };
  for (const TensorReport& tensor : report.tensors) {
    std::cout << fmt::format("{} {} {}: rank {}, bias {} -> {}, norm {:.4g} -> {:.4g}\n",
                             tensor.name, tensor.kind, tensor.treatment,
                             tensor.rank ? std::to_string(*tensor.rank) : std::string("-"),
                             number(tensor.bias_before), number(tensor.bias_after),
                             tensor.norm_before, tensor.norm_after);
  }
}

void print_result(const SanitizeResult& result, const std::filesystem::path& out) {
  const SanitizeSummary summary = result.report.summary();
  std::cout << fmt::format("sanitized {} of {} changed tensors over {} retain tokens\n",
                           summary.solved, result.report.tensors.size(), result.report.tokens);
  if (const auto kept = summary.linear_kept_bias()) {
    std::cout << fmt::format(
        "retention activation bias of the linear modules (mean): {:.3g} -> {:.3g} ({:.1f} % "
        "kept)\n",
        *summary.linear_mean_bias_before, *summary.linear_mean_bias_after, *kept * 100);
  }
  if (const auto kept = summary.kept_update_norm()) {
    std::cout << fmt::format("norm of the update: {:.4g} -> {:.4g} ({:.1f} % kept)\n",
                             summary.update_norm_before, summary.update_norm_after, *kept * 100);
  }
  std::cout << "written to " << out.string() << "\n";
}

}  // namespace

void add_sanitize(CLI::App& app, Common& common, Action& action) {
  CLI::App* command =
      app.add_subcommand("sanitize", "take the retention damage out of an unlearned checkpoint");
  auto words = std::make_shared<Words>();
  add_pair_options(*command, words->base, words->unlearned);
  add_list(*command, "--retain", words->retain,
           "texts that the model should keep (JSONL, JSON or plain text); repeatable")
      ->required()
      ->type_name("FILE");
  command->add_option("--out", words->out, "directory to write")->required()->type_name("DIR");
  command
      ->add_option("--strength", words->strength,
                   "how strongly the damage is taken out; 0 gives the unlearned model")
      ->type_name("X")
      ->capture_default_str();
  command
      ->add_option("--energy", words->energy,
                   "share of the inputs' energy that counts as retained, in (0, 1]")
      ->type_name("E")
      ->capture_default_str();
  command
      ->add_option("--other", words->other,
                   "embeddings, norms and biases: shrink (closed form), keep (unlearned values) or "
                   "base (roll back)")
      ->type_name("POLICY")
      ->capture_default_str();
  add_text_options(*command, words->fields, words->max_length);
  command
      ->add_option("--max-tokens", words->max_tokens, "tokens of all texts together; 0: no limit")
      ->type_name("N")
      ->capture_default_str();
  add_machine_options(*command, words->device, common);
  command->add_option("--report", words->report, "a second copy of sagesan_report.json")
      ->type_name("FILE");
  command->add_flag("--dry-run", words->dry_run, "check everything and say what would be done");
  command->add_flag("--overwrite", words->overwrite, "replace an earlier output of sagesan");
  command->callback([words, &common, &action] {
    action = [words, &common] {
      const SanitizeOptions options = parse(*words);
      apply_threads(common);
      const SanitizeResult result =
          sanitize(options, progress_bar(common.quiet), notice(common.quiet));
      clear_progress_bar();
      if (common.quiet) return;
      if (options.dry_run) {
        print_plan(result);
      } else {
        if (common.verbose) print_tensors(result.report);
        print_result(result, options.out);
      }
    };
  });
}

}  // namespace sagesan::cli
