#include "sagesan/jobs/sanitize.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "sagesan/activations/moments.h"
#include "sagesan/checkpoint/writer.h"
#include "sagesan/sanitize/rules.h"
#include "sagesan/support/error.h"
#include "sagesan/support/memory.h"
#include "sagesan/support/output_directory.h"
#include "sanitize_inputs.h"

namespace sagesan {
namespace {

using Notice = std::function<void(const std::string&)>;

/// One run: the state that the layers share while they pass by.
class SanitizeRun {
 public:
  SanitizeRun(const SanitizeOptions& options, const SanitizeInputs& inputs,
              const UpdateVector& updates, const Plan& plan, CheckpointWriter& writer,
              const Progress& progress)
      : options_(options),
        inputs_(inputs),
        updates_(updates),
        plan_(plan),
        writer_(writer),
        progress_(progress),
        decoder_(inputs.model, inputs.base, inputs.device),
        tied_head_(find_stored_tied_head(inputs.model, inputs.unlearned)) {}

  void run();
  std::map<std::string, TensorReport> tensors;
  std::map<std::string, SiteReport> sites;

 private:
  void report_progress(const char* stage, int64_t layer);
  void copy_unchanged();
  void observe(Site site, const Tensor& x);
  void solve_without_site();
  void solve_site(Site site);
  void solve_tied_embedding();
  void solve(const PlannedTensor& tensor, const Rule& rule, const Subspace* subspace);
  const Subspace& decompose(Site site);
  Tensor embedding_row_energies();

  const SanitizeOptions& options_;
  const SanitizeInputs& inputs_;
  const UpdateVector& updates_;
  const Plan& plan_;
  CheckpointWriter& writer_;
  const Progress& progress_;
  Decoder decoder_;
  StoredTensor tied_head_;  ///< a copy that the unlearned checkpoint stores; mostly empty
  std::map<Site, SecondMoment> second_moments_;
  std::map<Site, NormMoment> norm_moments_;
  std::optional<Subspace> subspace_;  ///< of the site at hand
};

void SanitizeRun::report_progress(const char* stage, int64_t layer) {
  if (progress_)
    progress_(stage, static_cast<double>(layer),
              static_cast<double>(plan_.layers_to_run(inputs_.model)));
}

void SanitizeRun::copy_unchanged() {
  double done = 0;
  for (const Update& update : updates_.updates) {
    const bool written_with_embedding =
        update.unlearned.info == tied_head_.info && updates_.find(kEmbeddingName)->changed;
    if (!update.changed && !written_with_embedding) writer_.copy(update.unlearned);
    if (progress_) progress_("copy", ++done, static_cast<double>(updates_.updates.size()));
  }
}

void SanitizeRun::observe(Site site, const Tensor& x) {
  try {
    if (site.is_norm()) {
      norm_moments_.try_emplace(site, x.size(1), x.device()).first->second.add(x);
    } else {
      second_moments_.try_emplace(site, x.size(1), inputs_.retain.batch.tokens(), x.device())
          .first->second.add(x);
    }
  } catch (const Error& error) {
    throw InputError(options_.base.string(), site.name() + ": " + error.what());
  }
}

const Subspace& SanitizeRun::decompose(Site site) {
  const SecondMoment& moment = second_moments_.at(site);
  subspace_ = dominant_subspace(moment, options_.energy, site.name());
  sites[site.name()] = {.tokens = moment.count(),
                        .channels = moment.channels(),
                        .rank = subspace_->rank,
                        .energy_share = subspace_->energy_share,
                        .leading_share = subspace_->leading_share,
                        .largest_token_share = moment.largest_token_share(),
                        .residual = subspace_->residual};
  return *subspace_;
}

Tensor SanitizeRun::embedding_row_energies() {
  const Tensor counts = token_counts(inputs_.retain.batch.ids, inputs_.model.vocabulary);
  sites[Site{-1, SiteKind::kEmbedding}.name()] = {.tokens = inputs_.retain.batch.tokens(),
                                                  .channels = inputs_.model.vocabulary};
  return embedding_energies(counts);
}

void SanitizeRun::solve(const PlannedTensor& tensor, const Rule& rule, const Subspace* subspace) {
  const Update& update = *tensor.update;
  // The same values go into a stored copy of the tied head.
  const StoredTensor twin = update.name == kEmbeddingName ? tied_head_ : StoredTensor{};
  const TensorSink sink = [&](uint64_t start, const Tensor& values) {
    writer_.write(update.unlearned, start, tensor_bytes(values));
    if (twin) writer_.write(twin, start, tensor_bytes(values));
  };
  const bool computable =
      is_computable(update.unlearned.info->dtype) && is_computable(update.base.info->dtype);
  TensorReport report{
      .name = update.name,
      .kind =
          std::string(tensor.parameter ? parameter_kind_name(tensor.parameter->kind) : "unknown"),
      .dtype = std::string(dtype_name(update.unlearned.info->dtype)),
      .shape = update.unlearned.info->shape};
  SolveFigures figures;
  if (tensor.treatment == Treatment::kKeep) {
    // The bytes themselves, whatever they mean; figures where they are numbers.
    writer_.copy(update.unlearned);
    if (twin) writer_.copy(twin);
    if (computable) figures = apply_rule(update, rule, inputs_.device, nullptr);
    report.treatment = "kept";
  } else {
    figures = apply_rule(update, rule, inputs_.device, sink);
    report.treatment = tensor.treatment == Treatment::kSolve ? "solved" : "base";
  }
  report.norm_before = std::sqrt(figures.squared_norm_before);
  report.norm_after = std::sqrt(figures.squared_norm_after);
  if (tensor.treatment == Treatment::kSolve) {
    if (tensor.parameter->kind != ParameterKind::kBias) report.site = tensor.parameter->site.name();
    report.strength = options_.strength;
    const auto ratio = [](double value, double base) {
      return base > 0 ? std::optional(value / base) : std::nullopt;
    };
    report.bias_before = ratio(figures.responses[0].before, figures.responses[0].base);
    report.bias_after = ratio(figures.responses[0].after, figures.responses[0].base);
    if (figures.responses.size() > 1) {
      report.head_bias_before = ratio(figures.responses[1].before, figures.responses[1].base);
      report.head_bias_after = ratio(figures.responses[1].after, figures.responses[1].base);
    }
    if (subspace != nullptr) {
      report.rank = subspace->rank;
      report.energy_share = subspace->energy_share;
    }
  }
  tensors[update.name] = std::move(report);
}

void SanitizeRun::solve_without_site() {
  for (const PlannedTensor& tensor : plan_.tensors) {
    if (tensor.treatment == Treatment::kKeep) {
      solve(tensor, keep_rule(), nullptr);
    } else if (tensor.treatment == Treatment::kBase) {
      solve(tensor, base_rule(), nullptr);
    } else if (tensor.parameter->kind == ParameterKind::kBias) {
      solve(tensor, bias_rule(options_.strength), nullptr);
    } else if (tensor.parameter->kind == ParameterKind::kEmbedding) {
      solve(tensor, embedding_rule(embedding_row_energies(), options_.strength), nullptr);
    }
    report_progress("sanitize", 0);
  }
}

void SanitizeRun::solve_site(Site site) {
  std::optional<Rule> rule;
  const Subspace* subspace = nullptr;
  if (site.is_norm()) {
    const NormMoment& moment = norm_moments_.at(site);
    rule = norm_rule(moment.relative_energies(), options_.strength);
    sites[site.name()] = {.tokens = moment.count(), .channels = inputs_.model.hidden_size};
  } else {
    subspace = &decompose(site);
    rule = linear_rule(*subspace, options_.strength);
  }
  for (const PlannedTensor& tensor : plan_.tensors) {
    if (tensor.treatment != Treatment::kSolve || tensor.parameter->site != site ||
        tensor.parameter->kind == ParameterKind::kBias) {
      continue;
    }
    solve(tensor, *rule, subspace);
    report_progress("sanitize", site.layer);
  }
  second_moments_.erase(site);
  norm_moments_.erase(site);
}

void SanitizeRun::solve_tied_embedding() {
  for (const PlannedTensor& tensor : plan_.tensors) {
    if (tensor.treatment != Treatment::kSolve ||
        tensor.parameter->kind != ParameterKind::kTiedEmbedding)
      continue;
    const Subspace& head = decompose({inputs_.model.layers, SiteKind::kHeadInput});
    solve(tensor, tied_embedding_rule(embedding_row_energies(), head, options_.strength), &head);
  }
}

void SanitizeRun::run() {
  copy_unchanged();
  solve_without_site();
  const int64_t layers = plan_.layers_to_run(inputs_.model);
  const bool final_norm = plan_.needs_final_norm(inputs_.model);
  if (layers > 0 || final_norm) {
    const Observer observer = [this](Site site, const Tensor& x) { observe(site, x); };
    Tensor hidden = decoder_.embed(inputs_.retain.batch);
    for (int64_t layer = 0; layer < layers; ++layer) {
      report_progress("sanitize", layer);
      decoder_.run_layer(layer, hidden, inputs_.retain.batch, plan_.sites,
                         final_norm || layer + 1 < layers, observer);
      for (const Site& site : plan_.sites) {
        if (site.layer == layer) solve_site(site);
      }
      release_free_memory();
    }
    if (final_norm) {
      decoder_.run_final_norm(hidden, plan_.sites, observer);
      hidden = Tensor();
      for (const Site& site : plan_.sites) {
        if (site.layer == layers && !(inputs_.model.tied_head && site.kind == SiteKind::kHeadInput))
          solve_site(site);
      }
      solve_tied_embedding();
    }
  }
  report_progress("sanitize", layers);
}

/// The report as far as it is known before the run.
SanitizeReport start_report(const SanitizeOptions& options, const SanitizeInputs& inputs,
                            const UpdateVector& updates, const Plan& plan) {
  SanitizeReport report;
  report.options = {.strength = options.strength,
                    .energy = options.energy,
                    .other = std::string(other_policy_name(options.other)),
                    .max_length = options.max_length,
                    .retain_fields = options.retain_fields};
  report.family = inputs.model.family;
  report.architecture = inputs.model.architecture;
  report.base_identity = updates.base_identity;
  report.unlearned_identity = updates.unlearned_identity;
  report.retain_files = inputs.retain.files;
  report.tokens = inputs.retain.batch.tokens();
  report.tensors_total = static_cast<int64_t>(updates.updates.size());
  report.layers_run = plan.layers_to_run(inputs.model);
  return report;
}

void give_notices(const SanitizeInputs& inputs, const Plan& plan, const Notice& notice) {
  int64_t truncated = 0;
  int64_t left_out = 0;
  for (const RetainFileReport& file : inputs.retain.files) {
    truncated += file.truncated;
    left_out += file.left_out;
  }
  if (left_out > 0)
    notice(fmt::format("{} retain texts were left out: --max-tokens is reached", left_out));
  if (truncated > 0)
    notice(fmt::format("{} retain texts were cut at the maximum length", truncated));
  for (const PlannedTensor& tensor : plan.tensors) {
    if (!tensor.parameter) {
      notice(fmt::format(
          "tensor {} changed but is no parameter that the {} family knows: copied as it is",
          quote(tensor.update->name), inputs.model.family));
    }
  }
}

/// What would be done, without figures.
void add_plan(const Plan& plan, SanitizeReport& report) {
  for (const Site& site : plan.sites) report.sites[site.name()] = {};
  for (const PlannedTensor& tensor : plan.tensors) {
    report.tensors.push_back(
        {.name = tensor.update->name,
         .kind = std::string(tensor.parameter ? parameter_kind_name(tensor.parameter->kind)
                                              : "unknown"),
         .treatment = tensor.treatment == Treatment::kSolve  ? "solved"
                      : tensor.treatment == Treatment::kBase ? "base"
                                                             : "kept",
         .dtype = std::string(dtype_name(tensor.update->unlearned.info->dtype)),
         .shape = tensor.update->unlearned.info->shape});
  }
}

}  // namespace

SanitizeResult sanitize(const SanitizeOptions& options, const Progress& progress,
                        const Notice& notice) {
  const SanitizeInputs inputs = open_sanitize_inputs(options);
  const UpdateVector updates = compare(inputs.base, inputs.unlearned, progress);
  if (updates.changed_count() == 0) {
    throw InputError(options.unlearned.string(),
                     "the checkpoints are identical: nothing to sanitize");
  }
  const Plan plan = make_plan(updates, inputs.model, options.other);
  SanitizeResult result{start_report(options, inputs, updates, plan), inputs.unlearned.bytes()};
  give_notices(inputs, plan, notice);
  if (options.dry_run) {
    add_plan(plan, result.report);
    return result;
  }

  OutputDirectory output(options.out, options.overwrite, notice);
  CheckpointWriter writer(inputs.unlearned, output.path());
  SanitizeRun run(options, inputs, updates, plan, writer, progress);
  run.run();
  writer.finish();
  copy_companion_files(options.unlearned, options.base, output.path());
  result.report.sites = std::move(run.sites);
  for (const PlannedTensor& tensor : plan.tensors) {
    result.report.tensors.push_back(std::move(run.tensors.at(tensor.update->name)));
  }
  const std::string text = result.report.to_json().dump(1) + "\n";
  write_text_file(output.path() / kReportName, text);
  output.commit();
  if (!options.report.empty()) replace_text_file(options.report, text);
  return result;
}

}  // namespace sagesan
