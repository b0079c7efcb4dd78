#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <string_view>

#include "input_options.h"
#include "sagesan/jobs/sanitize.h"
#include "sagesan/support/error.h"

namespace sagesan::cli {
namespace {

/// The options as typed; numbers are parsed by us.
struct SanitizeWords {
  InputWords inputs;
  std::string out;
  std::string method = "sage", strength, target_bias, carrier_gain, energy = "0.95";
  std::string share = "0.1", other = "shrink", report, html;
  std::string out_format = "full", dtype = "keep", rounding = "nearest", shard_size, max_memory;
  std::string keep_forgetting = "0.95";
  bool automatic = false, dry_run = false, overwrite = false;
};

/// Whether the user named an option, whatever value it has now.
using Given = std::function<bool(const std::string& option)>;

void add_exclusions(CLI::App& command, Common& common) {
  const auto method = [&](Method value, const std::vector<std::string>& others,
                          const std::string& reason) {
    exclude(common, command, "--method", std::string(method_name(value)), others, reason);
  };
  method(Method::kRidge, {"--energy"}, "it uses every direction");
  method(Method::kNullspace, {"--strength", "--target-bias"},
         "it takes out all of the dominant subspace");
  method(Method::kRandom, {"--target-bias"}, "random directions give no closed form of the bias");
  method(Method::kRollback,
         {"--strength", "--target-bias", "--carrier-gain", "--energy", "--rounding"},
         "a channel goes back to the base whole or not at all");
  method(Method::kForgetAware, {"--energy"}, "it uses every direction");
  method(Method::kForgetAware, {"--target-bias"}, "its bias has no closed form in the strength");
  for (const Method other : kMethods) {
    if (other != Method::kRollback) method(other, {"--share"}, "only rollback has one");
    if (other != Method::kForgetAware)
      method(other, {"--anchor-floor"}, "only forget-aware solving has one");
  }
  exclude(common, command, "--target-bias", "", {"--strength"});
  exclude(common, command, "--out-format", "adapter", {"--rounding"},
          "an adapter's weights are not rounded");
  exclude(common, command, "--auto", "",
          {"--method", "--strength", "--target-bias", "--carrier-gain", "--share", "--moments",
           "--max-memory"});
  exclude(common, command, "--moments", "",
          {"--retain", "--retain-fields", "--retain-template", "--chat-template", "--max-length",
           "--long-texts", "--max-tokens", "--token-cap"});
}

/// Who gives forget texts and nothing else wants them to count.
void read_forget(const Given& given, SanitizeOptions& options) {
  const bool forget = given("--forget");
  if (options.automatic) {
    if (!forget) throw UsageError("--auto needs --forget FILE");
    return;
  }
  if (given("--keep-forgetting")) throw UsageError("--keep-forgetting goes with --auto alone");
  if (forget && !given("--method")) options.method = Method::kForgetAware;
  const bool aware = options.method == Method::kForgetAware;
  if (forget && !aware) throw UsageError("--forget goes with --auto or --method forget-aware");
  if (aware && !forget) throw UsageError("--method forget-aware needs --forget FILE");
  for (const char* other : {"--energy", "--target-bias", "--share"}) {
    if (aware && given(other))
      throw UsageError(fmt::format("--method forget-aware excludes {}", other));
  }
  if (!aware && given("--anchor-floor"))
    throw UsageError("--anchor-floor goes with --method forget-aware alone");
}

/// A strength of one's own means the formula with it and nothing more; a gain comes with ours
/// alone.
void read_strength(const Given& given, const SanitizeWords& words, SanitizeOptions& options) {
  const DefaultSetting setting = default_setting(options.method);
  const bool own = given("--strength") || given("--target-bias");
  options.strength = setting.strength;
  options.carrier_gain = own ? 1 : setting.carrier_gain;
  if (given("--strength")) options.strength = parse_number("--strength", words.strength, 0, 1e12);
  if (given("--target-bias")) {
    options.target_bias = parse_number("--target-bias", words.target_bias, 0, 1);
    if (*options.target_bias == 0)
      throw UsageError("--target-bias 0: expected a number above 0, at most 1");
  }
  if (!given("--carrier-gain")) return;
  options.carrier_gain = parse_number("--carrier-gain", words.carrier_gain, 0, 1e6);
  if (options.carrier_gain == 0) throw UsageError("--carrier-gain 0: expected a number above 0");
  // "The update times G" is what somebody asks for who gives a gain and nothing else.
  if (options.method == Method::kScale && !given("--strength")) options.strength = 0;
}

SanitizeOptions parse(const CLI::App& command, const SanitizeWords& words) {
  const Given given = [&](const std::string& name) { return command.count(name) > 0; };
  SanitizeOptions options{.out = parse_path("--out", words.out)};
  parse_inputs(command, words.inputs, options);
  options.method = parse_choice("--method", words.method, kMethods, method_name);
  options.automatic = words.automatic;
  options.keep_forgetting = parse_number("--keep-forgetting", words.keep_forgetting, 0, 1);
  read_forget(given, options);
  read_strength(given, words, options);
  options.energy = parse_number("--energy", words.energy, 0, 1);
  if (options.energy == 0) throw UsageError("--energy 0: expected a number above 0, at most 1");
  options.share = parse_number("--share", words.share, 0, 1);
  if (options.share == 0) throw UsageError("--share 0: expected a number above 0, at most 1");
  if (given("--share") && options.method != Method::kRollback)
    throw UsageError("--share goes with --method rollback alone");
  options.other = parse_choice("--other", words.other, kOtherPolicies, other_policy_name);
  options.output.format = parse_choice(
      "--out-format", words.out_format,
      {OutputFormat::kFull, OutputFormat::kDelta, OutputFormat::kAdapter}, output_format_name);
  options.output.dtype = parse_choice<std::optional<DType>>(
      "--dtype", words.dtype, {std::nullopt, DType::kBF16, DType::kF16, DType::kF32},
      output_dtype_name);
  options.rounding_feedback =
      parse_choice<std::string_view>("--rounding", words.rounding, {"nearest", "feedback"},
                                     [](std::string_view name) { return name; }) == "feedback";
  if (given("--shard-size"))
    options.output.shard_bytes = parse_size("--shard-size", words.shard_size);
  if (given("--max-memory")) options.max_memory = parse_size("--max-memory", words.max_memory);
  if (given("--report")) options.report = parse_path("--report", words.report);
  if (given("--html")) options.html = parse_path("--html", words.html);
  options.overwrite = words.overwrite;
  options.dry_run = words.dry_run;
  return options;
}

void print_plan(const SanitizeResult& result, const SanitizeOptions& options) {
  const SanitizeReport& report = result.report;
  std::cout << fmt::format("would sanitize {} of {} changed tensors ({} in all) of a {} model\n",
                           report.summary().solved, report.changed(),
                           report.tensors_total + report.tensors_from_base, report.family);
  if (!options.moments.empty()) {
    std::cout << fmt::format("would use the moments of {} sites over {} tokens in {}\n",
                             report.sites.size(), report.tokens,
                             printable(options.moments.string()));
  } else {
    std::cout << fmt::format(
        "would run {} layers of the {} model over {} retain tokens and observe {} sites\n",
        report.layers_run, report.options.activations, report.tokens, report.sites.size());
  }
  const auto mebibytes = [](uint64_t bytes) { return bytes >> 20; };
  std::cout << fmt::format("would need about {} MiB of memory, {} at most{}\n",
                           mebibytes(result.memory_bytes), mebibytes(result.most_memory_bytes),
                           result.spills ? ", with the hidden states in a file" : "");
  std::cout << fmt::format("would write {:.1f} MiB of weights; nothing was written\n",
                           static_cast<double>(result.output_bytes) / (1 << 20));
}

void print_tensors(const SanitizeReport& report) {
  const auto number = [](const std::optional<double>& value) {
    return value ? fmt::format("{:.3g}", *value) : std::string("-");
  };
  const auto extent = [](const TensorReport& tensor) {
    if (tensor.channels_rolled_back) {
      return fmt::format("{} of {} channels", *tensor.channels_rolled_back,
                         *tensor.channels_eligible);
    }
    return "rank " + (tensor.rank ? std::to_string(*tensor.rank) : std::string("-"));
  };
  for (const TensorReport& tensor : report.tensors) {
    std::cout << fmt::format("{} {} {}: {}, bias {} -> {}, norm {:.4g} -> {:.4g}\n", tensor.name,
                             tensor.kind, tensor.treatment, extent(tensor),
                             number(tensor.bias_before), number(tensor.bias_after),
                             tensor.norm_before, tensor.norm_after);
  }
}

void print_search(const SearchReport& search) {
  const auto& step = [&](const std::string& name) -> const SearchReport::Step& {
    return *std::find_if(search.steps.begin(), search.steps.end(),
                         [&](const auto& each) { return each.candidate == name; });
  };
  const SearchReport::Step& best = step(search.best);
  std::cout << fmt::format(
      "found among {} candidates: {} (forgetting kept: {:.1f} %, retain loss {:.4f}; the unlearned "
      "model's {:.4f}, the base's {:.4f})\n",
      search.steps.size() - 2, search.best, best.kept_forgetting * 100, best.retain_loss,
      step("unlearned").retain_loss, step("base").retain_loss);
}

void print_result(const SanitizeResult& result, const std::filesystem::path& out) {
  if (result.report.search) print_search(*result.report.search);
  const SanitizeSummary summary = result.report.summary();
  std::cout << fmt::format("sanitized {} of {} changed tensors over {} retain tokens\n",
                           summary.solved, result.report.changed(), result.report.tokens);
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
  if (summary.rounding_matters()) {
    std::cout << fmt::format(
        "rounding to the stored dtype adds {:.3g} of that bias: --dtype f32 or --rounding feedback "
        "lowers it\n",
        *summary.linear_mean_rounding_bias);
  }
  if (result.report.forget_files.empty() && summary.kept_update_norm().value_or(1) != 1) {
    std::cout << "no strength is safe for every unlearning method, and without --forget texts "
                 "nothing tells how\nmuch forgetting went with what was taken out: --auto finds "
                 "a strength by them\n";
  }
  std::cout << "written to " << printable(out.string()) << "\n";
}

}  // namespace

std::function<SanitizeOptions()> add_sanitize_options(CLI::App& options, Common& common) {
  CLI::App* command = &options;
  auto words = std::make_shared<SanitizeWords>();
  add_input_options(*command, words->inputs,
                    "texts that were to be forgotten, for --auto or for --method forget-aware, "
                    "which this implies without it; repeatable");
  command->add_option("--out", words->out, "directory to write")->required()->type_name("DIR");
  command->add_flag("--auto", words->automatic,
                    "find method, strength and gain by trying them on one half of the retain and "
                    "forget texts");
  command
      ->add_option("--keep-forgetting", words->keep_forgetting,
                   "with --auto: the share of the unlearned model's rise in forget loss to keep")
      ->type_name("K")
      ->capture_default_str();
  command
      ->add_option("--method", words->method,
                   "sage; ridge: every direction; nullspace: the dominant ones projected out; "
                   "scale: the whole update divided by 1 + strength; random: a control with random "
                   "directions; rollback: the most harmful channels go back to the base; "
                   "forget-aware: what --forget texts use gives way last")
      ->type_name("sage|ridge|nullspace|scale|random|rollback|forget-aware")
      ->capture_default_str();
  command
      ->add_option("--strength", words->strength,
                   "how strongly the damage is taken out (default: 1, for forget-aware 3); 0 gives "
                   "the unlearned model")
      ->type_name("X");
  command
      ->add_option("--target-bias", words->target_bias,
                   "instead of --strength: the share of its bias that each tensor keeps, in (0, 1]")
      ->type_name("R");
  command
      ->add_option(
          "--carrier-gain", words->carrier_gain,
          "the sanitized update times this (default: 1; 1.5 where neither --strength nor "
          "--target-bias is given, of sage, ridge, random and forget-aware); with --method "
          "scale alone: the factor")
      ->type_name("G");
  command
      ->add_option("--energy", words->energy,
                   "share of the inputs' energy that counts as retained, in (0, 1]")
      ->type_name("E")
      ->capture_default_str();
  command
      ->add_option("--share", words->share,
                   "with --method rollback: the share of each tensor's changed channels that goes "
                   "back to the base, in (0, 1]")
      ->type_name("P")
      ->capture_default_str();
  command
      ->add_option("--other", words->other,
                   "embeddings, norms and biases: shrink (closed form), keep (unlearned values) or "
                   "base (roll back)")
      ->type_name("shrink|keep|base")
      ->capture_default_str();
  add_run_options(*command, common, words->inputs);
  command
      ->add_option(
          "--out-format", words->out_format,
          "full: every tensor; delta: only those that differ from the base; adapter: as the "
          "unlearned one, of the same rank")
      ->type_name("full|delta|adapter")
      ->capture_default_str();
  command
      ->add_option("--dtype", words->dtype, "of the weights written; keep: as the unlearned ones")
      ->type_name("keep|bf16|f16|f32")
      ->capture_default_str();
  command
      ->add_option("--rounding", words->rounding,
                   "of linear modules to that dtype: nearest, or feedback: what one column's "
                   "rounding does to the retain texts is made up for in the next")
      ->type_name("nearest|feedback")
      ->capture_default_str();
  command
      ->add_option("--shard-size", words->shard_size,
                   "most bytes of one weights file (5GB, 500MiB, ...) instead of the input's files")
      ->type_name("SIZE");
  command
      ->add_option(
          "--max-memory", words->max_memory,
          "most memory that the run may take (8GiB, ...): hidden states go to a file beside "
          "the output for it, and what needs more is refused")
      ->type_name("SIZE");
  command->add_option("--report", words->report, "a second copy of sagesan_report.json")
      ->type_name("FILE");
  command->add_option("--html", words->html, "the report as a page, one self-contained file")
      ->type_name("FILE");
  command->add_flag("--dry-run", words->dry_run, "check everything and say what would be done");
  command->add_flag("--overwrite", words->overwrite, "replace an earlier output of sagesan");
  add_exclusions(*command, common);
  return [words, command] { return parse(*command, *words); };
}

void add_sanitize(CLI::App& app, Common& common, Action& action) {
  CLI::App* command =
      app.add_subcommand("sanitize", "take the retention damage out of an unlearned checkpoint");
  const auto parse_options = add_sanitize_options(*command, common);
  command->callback([parse_options, &common, &action] {
    action = [parse_options, &common] {
      const SanitizeOptions options = parse_options();
      apply_threads(common);
      const SanitizeResult result =
          jobs().sanitize(options, progress_bar(common.quiet), notice(common.quiet));
      clear_progress_bar();
      if (common.quiet) return;
      if (options.dry_run) {
        print_plan(result, options);
      } else {
        if (common.verbose) print_tensors(result.report);
        print_result(result, options.out);
      }
    };
  });
}

}  // namespace sagesan::cli
