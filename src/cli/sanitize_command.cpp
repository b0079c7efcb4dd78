#include <fmt/format.h>

#include <iostream>
#include <limits>
#include <string_view>

#include "command.h"
#include "sagesan/jobs/sanitize.h"
#include "sagesan/support/error.h"

namespace sagesan::cli {
namespace {

/// The options as typed; numbers are parsed by us.
struct Words {
  std::string base, unlearned, out, moments;
  std::vector<std::string> retain, include, exclude, adapters;
  std::string method = "sage", strength = "1", target_bias, carrier_gain = "1", energy = "0.95";
  std::string share = "0.1";
  std::string other = "shrink", activations = "base", token_cap = "0";
  RenderingWords rendering;
  std::string max_length = "512", max_tokens = "0";
  std::string device = "auto", report, html;
  std::string out_format = "full", dtype = "keep", shard_size;
  bool dry_run = false, overwrite = false;
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
  method(Method::kRollback, {"--strength", "--target-bias", "--carrier-gain", "--energy"},
         "a channel goes back to the base whole or not at all");
  for (const Method other :
       {Method::kSage, Method::kRidge, Method::kNullspace, Method::kScale, Method::kRandom})
    method(other, {"--share"}, "only rollback has one");
  exclude(common, command, "--target-bias", "", {"--strength"});
  exclude(common, command, "--moments", "",
          {"--retain", "--retain-fields", "--retain-template", "--chat-template", "--max-length",
           "--long-texts", "--max-tokens", "--token-cap"});
}

SanitizeOptions parse(const Words& words, const Given& given) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  SanitizeOptions options{.base = parse_path("--base", words.base),
                          .unlearned = parse_path("--unlearned", words.unlearned),
                          .out = parse_path("--out", words.out)};
  if (!given("--retain") && !given("--moments"))
    throw UsageError("--retain is required (or --moments; see --help)");
  for (const std::string& directory : words.adapters)
    options.adapters.push_back(parse_path("--add-adapter", directory));
  for (const std::string& file : words.retain)
    options.retain.push_back(parse_path("--retain", file));
  if (given("--moments")) options.moments = parse_path("--moments", words.moments);
  options.method = parse_choice("--method", words.method,
                                {Method::kSage, Method::kRidge, Method::kNullspace, Method::kScale,
                                 Method::kRandom, Method::kRollback},
                                method_name);
  options.strength = parse_number("--strength", words.strength, 0, 1e12);
  if (given("--target-bias")) {
    options.target_bias = parse_number("--target-bias", words.target_bias, 0, 1);
    if (*options.target_bias == 0)
      throw UsageError("--target-bias 0: expected a number above 0, at most 1");
  }
  options.carrier_gain = parse_number("--carrier-gain", words.carrier_gain, 0, 1e6);
  if (options.carrier_gain == 0) throw UsageError("--carrier-gain 0: expected a number above 0");
  // "The update times G" is what somebody asks for who gives a gain and nothing else.
  if (options.method == Method::kScale && given("--carrier-gain") && !given("--strength"))
    options.strength = 0;
  options.energy = parse_number("--energy", words.energy, 0, 1);
  if (options.energy == 0) throw UsageError("--energy 0: expected a number above 0, at most 1");
  options.share = parse_number("--share", words.share, 0, 1);
  if (options.share == 0) throw UsageError("--share 0: expected a number above 0, at most 1");
  if (given("--share") && options.method != Method::kRollback)
    throw UsageError("--share goes with --method rollback alone");
  options.other = parse_choice("--other", words.other,
                               {OtherPolicy::kShrink, OtherPolicy::kKeep, OtherPolicy::kBase},
                               other_policy_name);
  options.include = words.include;
  options.exclude = words.exclude;
  options.unlearned_activations =
      parse_choice<std::string_view>("--activations", words.activations, {"base", "unlearned"},
                                     [](std::string_view name) { return name; }) == "unlearned";
  options.token_cap = parse_number("--token-cap", words.token_cap, 0, 1e12);
  options.rendering = parse_rendering(words.rendering);
  options.max_length = parse_integer("--max-length", words.max_length, 1, 1 << 24);
  options.max_tokens = parse_integer("--max-tokens", words.max_tokens, 0, kMost);
  options.output.format = parse_choice(
      "--out-format", words.out_format,
      {OutputFormat::kFull, OutputFormat::kDelta, OutputFormat::kAdapter}, output_format_name);
  options.output.dtype = parse_choice<std::optional<DType>>(
      "--dtype", words.dtype, {std::nullopt, DType::kBF16, DType::kF16, DType::kF32},
      output_dtype_name);
  if (given("--shard-size"))
    options.output.shard_bytes = parse_size("--shard-size", words.shard_size);
  options.device = words.device;
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

void print_result(const SanitizeResult& result, const std::filesystem::path& out) {
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
  std::cout << "written to " << out.string() << "\n";
}

}  // namespace

std::function<SanitizeOptions()> add_sanitize_options(CLI::App& options, Common& common) {
  CLI::App* command = &options;
  auto words = std::make_shared<Words>();
  add_pair_options(*command, words->base, words->unlearned);
  add_list(*command, "--add-adapter", words->adapters,
           "a further PEFT adapter, summed with the one given as --unlearned; repeatable")
      ->type_name("DIR");
  add_list(*command, "--retain", words->retain,
           "texts that the model should keep (JSONL, JSON or plain text); repeatable")
      ->type_name("FILE");
  command->add_option("--out", words->out, "directory to write")->required()->type_name("DIR");
  command
      ->add_option("--moments", words->moments,
                   "moments that 'collect' or 'merge' wrote, instead of --retain")
      ->type_name("FILE");
  command
      ->add_option("--method", words->method,
                   "sage; ridge: every direction; nullspace: the dominant ones projected out; "
                   "scale: the whole update divided by 1 + strength; random: a control with random "
                   "directions; rollback: the most harmful channels go back to the base")
      ->type_name("sage|ridge|nullspace|scale|random|rollback")
      ->capture_default_str();
  command
      ->add_option("--strength", words->strength,
                   "how strongly the damage is taken out; 0 gives the unlearned model")
      ->type_name("X")
      ->capture_default_str();
  command
      ->add_option("--target-bias", words->target_bias,
                   "instead of --strength: the share of its bias that each tensor keeps, in (0, 1]")
      ->type_name("R");
  command
      ->add_option("--carrier-gain", words->carrier_gain,
                   "the sanitized update times this; with --method scale alone: the factor")
      ->type_name("G")
      ->capture_default_str();
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
  add_list(*command, "--include", words->include,
           "sanitize only tensors in whose name this expression is found; repeatable")
      ->type_name("REGEX");
  add_list(*command, "--exclude", words->exclude,
           "leave tensors as they are in whose name this expression is found; repeatable")
      ->type_name("REGEX");
  add_text_options(*command, common, words->rendering, words->max_length);
  add_max_tokens(*command, words->max_tokens);
  command
      ->add_option("--activations", words->activations,
                   "the model that the retain texts run through")
      ->type_name("base|unlearned")
      ->capture_default_str();
  add_token_cap(*command, words->token_cap);
  add_machine_options(*command, words->device, common);
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
      ->add_option("--shard-size", words->shard_size,
                   "most bytes of one weights file (5GB, 500MiB, ...) instead of the input's files")
      ->type_name("SIZE");
  command->add_option("--report", words->report, "a second copy of sagesan_report.json")
      ->type_name("FILE");
  command->add_option("--html", words->html, "the report as a page, one self-contained file")
      ->type_name("FILE");
  command->add_flag("--dry-run", words->dry_run, "check everything and say what would be done");
  command->add_flag("--overwrite", words->overwrite, "replace an earlier output of sagesan");
  add_exclusions(*command, common);
  return [words, command] {
    return parse(*words, [&](const std::string& name) { return command->count(name) > 0; });
  };
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
