#include "sagesan/jobs/sanitize.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "check_plan.h"
#include "memory_need.h"
#include "report_options.h"
#include "sagesan/activations/runner.h"
#include "sagesan/checkpoint/companion_files.h"
#include "sagesan/checkpoint/writer.h"
#include "sagesan/report/model_card.h"
#include "sagesan/report/report_page.h"
#include "sagesan/support/error.h"
#include "sagesan/support/memory.h"
#include "sagesan/support/output_directory.h"
#include "sagesan/text/tokenizer.h"
#include "sanitize_inputs.h"
#include "sanitize_run.h"
#include "search.h"

namespace sagesan {
namespace {

using Notice = std::function<void(const std::string&)>;

/// The report as far as it is known before the run.
SanitizeReport start_report(const SanitizeOptions& options, const SanitizeInputs& inputs,
                            const UpdateVector& updates, const Plan& plan) {
  SanitizeReport report;
  report.options = report_options(options, inputs.chat ? inputs.chat->identity() : "",
                                  inputs.moments ? &inputs.moments->origin() : nullptr);
  if (inputs.moments) {
    const MomentsOrigin& origin = inputs.moments->origin();
    report.retain_files = origin.retain_files;
    report.tokens = origin.tokens();
  } else {
    report.retain_files = inputs.retain.files;
    report.tokens = inputs.retain.batch.tokens();
    report.layers_run = ObservationPlan{.sites = plan.sites}.layers_to_run(inputs.model);
  }
  report.forget_files = inputs.forget.files;
  report.family = inputs.map.family;
  report.architecture = inputs.map.architecture;
  report.base_identity = updates.base_identity;
  report.unlearned_identity = updates.unlearned_identity;
  if (inputs.unlearned.adapters) report.routers = inputs.unlearned.adapters->front().router_names();
  report.tensors_total = static_cast<int64_t>(updates.updates.size());
  report.tensors_from_base = static_cast<int64_t>(updates.only_base.size());
  return report;
}

/// Some methods keep more than an adapter: a projection applied at run time, say.
void give_notice_of_other_weights(const Adapter& adapter, const Notice& notice) {
  std::vector<std::string> others;
  for (const auto& entry : std::filesystem::directory_iterator(adapter.directory())) {
    const std::string ending = entry.path().extension().string();
    const bool weights = ending == ".safetensors" || ending == ".bin" || ending == ".pt" ||
                         ending == ".pth" || ending == ".npy";
    if (weights && entry.path().filename() != adapter.file().path().filename())
      others.push_back(entry.path().string());
  }
  std::sort(others.begin(), others.end());
  for (const std::string& other : others)
    notice(printable(other) + " is no part of the adapter: left alone, and not in the output");
}

void give_routing_notice(const Adapter& adapter, const Notice& notice) {
  if (!adapter.routed()) return;
  const std::vector<AdapterModule>& modules = adapter.modules();
  notice(fmt::format(
      "{} is routed at run time in {} modules: each shared A is sanitized for all its factors B; "
      "those and the routers' {} tensors are left alone",
      printable(adapter.directory().string()),
      std::count_if(modules.begin(), modules.end(), [](const auto& each) { return each.routed(); }),
      adapter.router_names().size()));
}

/// What a framework puts in front of all names, and transformers does not look for.
void give_name_notice(const UpdateVector& updates, const Notice& notice) {
  for (const Update& update : updates.updates) {
    for (const char* wrapper : {"module.", "_orig_mod."}) {
      const std::string& name = update.unlearned.info->name;
      if (!name.starts_with(wrapper)) continue;
      notice(
          fmt::format("the unlearned tensors' names start with '{}' ({}), and so do the "
                      "output's: transformers will not find them; rename them",
                      wrapper, quote(name)));
      return;
    }
  }
}

void give_pair_notices(const SanitizeOptions& options, const SanitizeInputs& inputs,
                       const UpdateVector& updates, const Notice& notice) {
  if (has_other_vocabulary(options.base, options.unlearned)) {
    notice(
        fmt::format("{} has another vocabulary than the base's: the texts are read with the "
                    "base's, and the output has the unlearned model's",
                    printable((options.unlearned / "tokenizer.json").string())));
  }
  if (!updates.only_base.empty() && !inputs.unlearned.checkpoint.is_computed()) {
    notice(fmt::format("{} holds {} of {} tensors; the others are the base's",
                       printable(inputs.unlearned.checkpoint.path().string()),
                       updates.updates.size(), updates.updates.size() + updates.only_base.size()));
  }
  if (inputs.unlearned.adapters) {
    for (const Adapter& adapter : *inputs.unlearned.adapters) {
      for (const std::string& line : adapter.configuration().notices) notice(line);
      give_notice_of_other_weights(adapter, notice);
      give_routing_notice(adapter, notice);
    }
  }
  give_name_notice(updates, notice);
  for (const Update& update : updates.updates) {
    if (!update.grown) continue;
    notice(fmt::format("tensor {} has {} rows more than the base's: they are copied as they are",
                       quote(update.name),
                       update.grown.info->shape[0] - update.unlearned.info->shape[0]));
  }
}

/// What config.json must say of the output.
ConfigChanges config_changes(const SanitizeOptions& options, const SanitizeInputs& inputs,
                             const UpdateVector& updates) {
  ConfigChanges changes{.dtype = options.output.dtype};
  if (has_own_configuration(options.unlearned)) return changes;
  for (const Update& update : updates.updates) {
    if (!inputs.hints.vocabulary.contains(update.name)) continue;
    const TensorInfo& info = *update.whole().info;
    const int64_t rows = info.shape[0];
    const bool is_plain =
        info.dtype == DType::kBF16 || info.dtype == DType::kF16 || info.dtype == DType::kF32;
    if (!changes.dtype && is_plain && !update.is_computed && update.base.info->dtype != info.dtype)
      changes.dtype = info.dtype;
    if (const StoredTensor base = inputs.base.find(update.name);
        base && base.info->shape[0] != rows)
      changes.vocabulary = rows;
  }
  return changes;
}

void give_plan_notices(const SanitizeInputs& inputs, const Plan& plan, const Notice& notice) {
  give_notices(inputs.retain.files, "retain", notice);
  give_notices(inputs.forget.files, "forget", notice);
  for (const PlannedTensor& tensor : plan.tensors) {
    if (!tensor.parameter) {
      notice(fmt::format(
          "tensor {} changed but is no parameter that the {} family knows: copied as it is",
          quote(tensor.name()), inputs.map.family));
    }
  }
}

void give_memory_notice(const SanitizeOptions& options, const SanitizeResult& result,
                        const Notice& notice) {
  const uint64_t there = usable_memory();
  if (options.max_memory > 0 || there == 0 || result.memory_bytes <= there) return;
  notice(
      fmt::format("the run needs about {} MiB of memory, and there are {}: fewer retain "
                  "tokens (--max-tokens) need less",
                  result.memory_bytes >> 20, there >> 20));
}

/// What would be done, without figures.
void add_plan(const Plan& plan, SanitizeReport& report) {
  for (const Site& site : plan.sites) report.sites[site.name()] = {};
  for (const PlannedTensor& tensor : plan.tensors) {
    report.tensors.push_back(
        {.name = tensor.name(),
         .kind = std::string(tensor.parameter ? parameter_kind_name(tensor.parameter->kind)
                                              : "unknown"),
         .treatment = std::string(treatment_name(tensor.treatment)),
         .dtype = std::string(dtype_name(tensor.update->unlearned.info->dtype)),
         .shape = tensor.shape(),
         .expert = tensor.expert});
  }
}

void give_target_notice(const SanitizeReport& report, const Notice& notice) {
  const int64_t missed = report.summary().missed;
  if (missed == 0) return;
  notice(
      fmt::format("{} of {} tensors keep more than the target bias: what --energy leaves out is "
                  "not damped, and "
                  "rounding to the stored dtype leaves a floor (rounding_bias in the report)",
                  missed, report.summary().solved));
}

void give_expert_notice(const SanitizeRun& run, const Notice& notice) {
  if (run.unseen_experts.empty()) return;
  const auto [layer, expert] = *run.unseen_experts.begin();
  notice(fmt::format(
      "{} experts saw no retain token and keep their updates (expert {} of layer {}{}); more "
      "or other retain texts would reach them",
      run.unseen_experts.size(), expert, layer, run.unseen_experts.size() > 1 ? ", ..." : ""));
}

/// Of what is copied beside the weights, from either directory.
std::pair<std::string, std::string> companions_identity(const SanitizeOptions& options) {
  return {configuration_identity(options.base), configuration_identity(options.unlearned)};
}

/// All but the search; `search` is what came of it, where there was one.
SanitizeResult sanitize_with(const SanitizeOptions& options,
                             const std::optional<SearchReport>& search, const Progress& progress,
                             const Notice& notice) {
  const auto companions = companions_identity(options);
  const SanitizeInputs inputs = open_sanitize_inputs(options);
  const UpdateVector updates = compare_pair(options, inputs, progress);
  const Plan plan = make_plan(updates, inputs.map, options.method, options.other,
                              NameFilter(options.include, options.exclude));
  check_plan(options, inputs, updates, plan);
  const OutputLayout layout =
      layout_output(inputs.base, inputs.unlearned.checkpoint, updates, options.output);
  const MemoryNeed memory = memory_need(options, inputs, plan);
  SanitizeResult result{start_report(options, inputs, updates, plan), layout.bytes(), memory.bytes,
                        memory.most, must_spill(options, memory)};
  if (result.spills) {
    result.memory_bytes -= memory.hidden;
    result.most_memory_bytes -= memory.hidden;
  }
  give_template_notice(options.rendering, inputs.chat, notice);
  give_pair_notices(options, inputs, updates, notice);
  give_plan_notices(inputs, plan, notice);
  give_memory_notice(options, result, notice);
  result.report.search = search;
  result.report.base_configuration = companions.first;
  if (options.dry_run) {
    add_plan(plan, result.report);
    return result;
  }

  OutputDirectory output(options.out, options.overwrite, kReportName, notice);
  CheckpointWriter writer(layout, output.path());
  std::optional<AdapterOutput> adapter;
  if (options.output.format == OutputFormat::kAdapter)
    adapter.emplace(*inputs.unlearned.merged, inputs.unlearned.adapters->front(), updates);
  SanitizeRun run(options, inputs, updates, plan, writer, adapter ? &*adapter : nullptr,
                  result.spills ? output.path() : std::filesystem::path(), progress);
  run.run();
  writer.finish();
  if (adapter) {
    adapter->write(output.path());
  } else {
    copy_companion_files(options.unlearned, options.base, output.path(),
                         config_changes(options, inputs, updates));
  }
  if (const auto now = companions_identity(options); now != companions) {
    throw InputError((now.first != companions.first ? options.base : options.unlearned).string(),
                     "its configuration or tokenizer changed during the run; run it again");
  }
  result.report.sites = std::move(run.sites);
  for (const PlannedTensor& tensor : plan.tensors) {
    result.report.tensors.push_back(std::move(run.tensors.at(tensor.name())));
  }
  give_target_notice(result.report, notice);
  give_expert_notice(run, notice);
  const std::string text = result.report.to_json().dump(1) + "\n";
  write_text_file(output.path() / kReportName, text);
  write_text_file(output.path() / "README.md", model_card(result.report));
  // What may fail comes first: an earlier output stays then.
  std::vector<TextReplacement> copies;
  if (!options.report.empty()) copies.emplace_back(options.report, text);
  if (!options.html.empty()) copies.emplace_back(options.html, report_page(result.report));
  output.commit();
  for (TextReplacement& copy : copies) copy.commit();
  return result;
}

}  // namespace

SanitizeResult sanitize(const SanitizeOptions& options, const Progress& progress,
                        const Notice& notice) {
  if (options.automatic && options.dry_run) check_search(options);
  // What a dry run would search for is not known without the search.
  if (!options.automatic || options.dry_run)
    return sanitize_with(options, std::nullopt, progress, notice);
  const FoundOptions found = search_options(options, progress);
  return sanitize_with(found.options, found.search, progress, notice);
}

}  // namespace sagesan
