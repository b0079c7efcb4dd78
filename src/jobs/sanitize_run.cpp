#include "sanitize_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "moment_stages.h"
#include "sagesan/support/error.h"
#include "sagesan/support/stage_clock.h"

namespace sagesan {
namespace {

std::optional<double> ratio(double value, double base) {
  return base > 0 ? std::optional(value / base) : std::nullopt;
}

void add_biases(const SolveFigures& figures, TensorReport& report) {
  const Responses& first = figures.responses.at(0);
  report.bias_before = ratio(first.before, first.base);
  report.bias_after = ratio(first.after, first.base);
  if (figures.responses.size() > 1) {
    const Responses& head = figures.responses[1];
    report.head_bias_before = ratio(head.before, head.base);
    report.head_bias_after = ratio(head.after, head.base);
  }
}

void add_target(const SolveFigures& figures, double target, TensorReport& report) {
  constexpr double kLeeway = 1.01;
  report.target_reached = true;
  for (const Responses& responses : figures.responses) {
    if (responses.after > kLeeway * target * responses.before) report.target_reached = false;
  }
}

/// The site, and whose activations were observed there.
std::string origin_of(const Site& site, const SanitizeOptions& options) {
  const std::filesystem::path& origin = !options.moments.empty()        ? options.moments
                                        : options.unlearned_activations ? options.unlearned
                                                                        : options.base;
  return printable(origin.string()) + ": " + site.name();
}

/// Numbers converted at a time.
constexpr uint64_t kBlockElements = uint64_t{1} << 20;

/// The values of `from` in the place of `to`, in the dtype that the output has for them.
void copy_values(const TensorPart& from, const StoredTensor& to, CheckpointWriter& writer) {
  const std::optional<DType> dtype = writer.dtype(to);
  if (!dtype) return;  // the output leaves it out
  const TensorInfo& info = *from.tensor.info;
  if (info.dtype == *dtype && from.tensor.info == to.info) return writer.copy(from);
  const auto size = static_cast<uint64_t>(dtype_bits(info.dtype)) / 8;
  for (uint64_t start = 0; start < from.count; start += kBlockElements) {
    const uint64_t count = std::min(kBlockElements, from.count - start);
    Tensor stored = stored_bytes({static_cast<int64_t>(count)}, info.dtype);
    from.tensor.read((from.start + start) * size, writable_bytes(stored));
    const Tensor values = decode(stored, info.dtype);
    const Tensor converted = encode(values, *dtype);
    if (!all_finite(decode(converted, *dtype)) && all_finite(values)) {
      throw InputError(from.tensor.where(),
                       fmt::format("holds values that {} cannot hold; choose another --dtype",
                                   dtype_name(*dtype)));
    }
    writer.write(to, from.start + start, tensor_bytes(converted));
  }
}

void copy_values(const StoredTensor& tensor, CheckpointWriter& writer) {
  copy_values(TensorPart::whole(tensor), tensor, writer);
}

}  // namespace

SanitizeRun::SanitizeRun(const SanitizeOptions& options, const SanitizeInputs& inputs,
                         const UpdateVector& updates, const Plan& plan, CheckpointWriter& writer,
                         AdapterOutput* adapter, std::filesystem::path spill,
                         const Progress& progress)
    : options_(options),
      inputs_(inputs),
      updates_(updates),
      plan_(plan),
      writer_(writer),
      adapter_(adapter),
      spill_(std::move(spill)),
      progress_(progress) {
  for (const PlannedTensor& tensor : plan.tensors) {
    if (tensor.treatment != Treatment::kSolve || tensor.parameter->kind == ParameterKind::kBias)
      continue;
    // A tied embedding needs both moments; the head's comes last.
    readers_[tensor.parameter->head.value_or(tensor.site())].push_back(&tensor);
  }
  if (options.method == Method::kForgetAware) forget_.emplace(inputs, options, plan.sites);
}

void SanitizeRun::copy_unchanged() {
  const StageClock clock("copy");
  double done = 0;
  const auto total = static_cast<double>(updates_.updates.size() + updates_.only_base.size());
  const auto advance = [&] {
    if (progress_) progress_("copy", ++done, total);
  };
  for (const Update& update : updates_.updates) {
    if (!update.changed) copy_values(update.unlearned, writer_);
    advance();
  }
  for (const TensorPart& part : updates_.verbatim) copy_values(part, part.tensor, writer_);
  for (const StoredTensor& tensor : updates_.only_base) {
    copy_values(tensor, writer_);
    advance();
  }
}

TensorSink SanitizeRun::sink(const Update& update) {
  if (!writer_.dtype(update.unlearned)) return nullptr;  // the output leaves it out
  return [this, &update](uint64_t start, const Tensor& values) {
    const DType dtype = writer_.dtype(update.unlearned).value();
    const StageClock clock("write", values.nbytes());
    writer_.write(update.unlearned, start, tensor_bytes(encode(values, dtype)));
  };
}

SolveFigures SanitizeRun::apply(const PlannedTensor& tensor, const Rule& rule,
                                const ApplyOptions& options) {
  const Update& update = *tensor.update;
  if (adapter_ == nullptr) return apply_rule(update, rule, options, sink(update));
  if (!adapter_->wants_values(tensor)) {
    SolveFigures figures = apply_rule(update, rule, options, nullptr);
    adapter_->add(tensor, rule, options.filter, Tensor(), options.device);
    return figures;
  }
  const int64_t first = tensor.first_element();
  const Tensor values =
      at::empty(tensor.shape(), scalar_type(update.unlearned.info->dtype)).view({-1});
  const auto collect = [&](uint64_t start, const Tensor& block) {
    values.narrow(0, static_cast<int64_t>(start) - first, block.numel()).copy_(block.reshape({-1}));
  };
  SolveFigures figures = apply_rule(update, rule, options, collect);
  adapter_->add(tensor, rule, options.filter, values, options.device);
  return figures;
}

ApplyOptions SanitizeRun::apply_options(const PlannedTensor& tensor) const {
  ApplyOptions options{.device = inputs_.device, .dtype = writer_.dtype(tensor.update->unlearned)};
  if (!tensor.parameter) return options;
  options.view = tensor.view();
  options.base_offset = tensor.parameter->offset;
  return options;
}

TensorReport SanitizeRun::start_report(const PlannedTensor& tensor) const {
  return {.name = tensor.name(),
          .kind = std::string(tensor.parameter ? parameter_kind_name(tensor.parameter->kind)
                                               : "unknown"),
          .treatment = std::string(treatment_name(tensor.treatment)),
          .dtype = std::string(
              dtype_name(writer_.dtype(tensor.update->unlearned).value_or(tensor.update->dtype()))),
          .shape = tensor.shape(),
          .expert = tensor.expert};
}

void SanitizeRun::finish(const PlannedTensor& tensor, TensorReport report,
                         const SolveFigures& figures) {
  report.norm_before = std::sqrt(figures.squared_norm_before);
  report.norm_after = std::sqrt(figures.squared_norm_after);
  tensors[tensor.name()] = std::move(report);
}

void SanitizeRun::keep(const PlannedTensor& tensor) {
  const Update& update = *tensor.update;
  TensorReport report = start_report(tensor);
  report.treatment = treatment_name(Treatment::kKeep);
  if (tensor.treatment == Treatment::kSolve) report.site = tensor.site().name();
  // A part of a tensor, whose other parts are solved, goes the way of those. Else the values
  // themselves go over, whatever they mean; figures where they are numbers.
  if (!tensor.expert) copy_values(update.unlearned, writer_);
  SolveFigures figures;
  if (is_computable(update.unlearned.info->dtype) && is_computable(update.base.info->dtype)) {
    figures = apply_rule(update, keep_rule(), apply_options(tensor),
                         tensor.expert ? sink(update) : nullptr);
  }
  finish(tensor, std::move(report), figures);
}

void SanitizeRun::roll_back(const PlannedTensor& tensor) {
  const Update& update = *tensor.update;
  SolveFigures figures;
  const ApplyOptions options = apply_options(tensor);
  if (update.base.info->dtype == options.dtype) {
    // Their very bytes: what arithmetic gives back is off by a rounding.
    copy_values(TensorPart::whole(update.base), update.unlearned, writer_);
    figures = apply_rule(update, keep_rule(), options, nullptr);
    figures.squared_norm_after = 0;
  } else {
    figures = apply(tensor, base_rule(), options);
  }
  finish(tensor, start_report(tensor), figures);
}

Filter SanitizeRun::choose_filter(const PlannedTensor& tensor, const Rule& rule) const {
  Filter filter = plain_filter(options_);
  if (options_.target_bias) {
    // The gain multiplies the bias by its square.
    const double target = *options_.target_bias / (filter.gain * filter.gain);
    filter.strength =
        strength_for_target(*tensor.update, rule, target, tensor.view(), inputs_.device);
  }
  return filter;
}

void SanitizeRun::solve(const PlannedTensor& tensor, const Rule& rule, const Subspace* subspace) {
  const Filter filter = choose_filter(tensor, rule);
  ApplyOptions options = apply_options(tensor);
  options.filter = filter;
  options.measure_survival = tensor.parameter->kind == ParameterKind::kLinear;
  // What 32 bits and more lose is nothing beside what float32 sums do.
  options.measure_rounding = dtype_bits(options.dtype.value_or(tensor.update->dtype())) < 32;
  const SolveFigures figures = apply(tensor, rule, options);
  TensorReport report = start_report(tensor);
  if (tensor.parameter->kind != ParameterKind::kBias) report.site = tensor.site().name();
  if (std::isfinite(filter.strength)) report.strength = filter.strength;
  add_biases(figures, report);
  if (const SurvivalSums& sums = figures.survival; !sums.empty()) {
    report.survival = Survival{.stored = sums.stored(), .int8 = sums.int8(), .int4 = sums.int4()};
  }
  report.rounding_bias = ratio(figures.responses[0].rounding, figures.responses[0].base);
  if (options_.target_bias) add_target(figures, *options_.target_bias, report);
  if (subspace != nullptr) {
    report.rank = subspace->rank;
    report.energy_share = subspace->energy_share;
  }
  finish(tensor, std::move(report), figures);
}

void SanitizeRun::roll_back_channels(const PlannedTensor& tensor, const Channels& channels) {
  const Rollback rollback =
      choose_rollback(*tensor.update, channels, options_.share, tensor.view(), inputs_.device);
  const SolveFigures figures = apply(tensor, rollback.rule, apply_options(tensor));
  TensorReport report = start_report(tensor);
  report.site = tensor.site().name();
  report.channels_rolled_back = rollback.channels;
  report.channels_eligible = rollback.candidates;
  add_biases(figures, report);
  finish(tensor, std::move(report), figures);
}

void SanitizeRun::solve_without_moments() {
  for (const PlannedTensor& tensor : plan_.tensors) {
    if (tensor.treatment == Treatment::kKeep) {
      keep(tensor);
    } else if (tensor.treatment == Treatment::kBase) {
      roll_back(tensor);
    } else if (tensor.parameter->kind == ParameterKind::kBias) {
      solve(tensor, bias_rule(), nullptr);
    }
    if (progress_) progress_("sanitize", 0, 1);
  }
}

void SanitizeRun::add_site_report(const Site& site, const SiteMoment& moment,
                                  const Subspace* subspace) {
  SiteReport& report = sites[site.name()];
  if (const auto* second = std::get_if<SecondMoment>(&moment))
    report.largest_token_share = second->largest_token_share();
  if (subspace == nullptr) return;
  report.rank = subspace->rank;
  report.energy_share = subspace->energy_share;
  if (const auto& shares = subspace->eigenvalue_shares; !shares.empty())
    report.leading_share = shares.at(1);
  report.residual = subspace->residual;
  report.eigenvalue_shares = subspace->eigenvalue_shares;
}

void SanitizeRun::show_progress() const {
  const auto all = static_cast<double>(plan_.tensors.size());
  if (progress_) progress_("sanitize", static_cast<double>(tensors.size()), all);
}

bool SanitizeRun::is_tied(const Site& embedding) const {
  const auto& map = inputs_.map;
  return !map.tied_embedding.empty() && map.parameters.at(map.tied_embedding).site == embedding;
}

void SanitizeRun::solve_with(const Site& site, const SiteMoment& moment, double reference_trace) {
  std::visit(
      [&](const auto& m) { sites[site.name()] = {.tokens = m.count(), .channels = m.channels()}; },
      moment);
  // Of some experts the mean alone is wanted; of a tied embedding nothing but its energies.
  const auto readers = readers_.find(site);
  if (readers == readers_.end() && !(site.is_embedding() && is_tied(site))) return;
  if (site.is_expert() && !(std::get<SecondMoment>(moment).trace() > 0)) {
    for (const PlannedTensor* tensor : readers->second) keep(*tensor);
    unseen_experts.emplace(site.layer, site.expert);
    return;
  }
  const SiteRules rules(site, moment, reference_trace, origin_of(site, options_), {&options_},
                        forget_ ? forget_->at(site) : ForgetMoment{},
                        inputs_.map.is_tied_head(site));
  if (site.is_embedding() && is_tied(site)) row_energies_ = rules.energies();
  add_site_report(site, moment, rules.subspace(options_));
  if (readers == readers_.end()) return;
  for (const PlannedTensor* tensor : readers->second) {
    if (options_.method == Method::kRollback) {
      roll_back_channels(*tensor, rules.channels(*tensor, row_energies_));
    } else {
      solve(*tensor, rules.rule(options_, *tensor, row_energies_), rules.subspace(options_));
    }
    show_progress();
  }
}

void SanitizeRun::read_ahead(int64_t layer) const {
  std::set<const Update*> updates;  // that of a tensor of all experts once
  for (const auto& [site, readers] : readers_) {
    if (site.layer != layer) continue;
    for (const PlannedTensor* tensor : readers) updates.insert(tensor->update);
  }
  std::vector<StoredTensor> read;
  for (const Update* update : updates) read.insert(read.end(), {update->base, update->unlearned});
  will_read(read);
}

void SanitizeRun::run() {
  copy_unchanged();
  solve_without_moments();
  MomentStages stages(inputs_, options_, plan_.sites, spill_);
  while (!stages.done()) {
    show_progress();
    read_ahead(stages.stage());
    stages.run_stage([this](const Site& site, const SiteMoment& moment, double reference_trace) {
      solve_with(site, moment, reference_trace);
    });
  }
}

}  // namespace sagesan
