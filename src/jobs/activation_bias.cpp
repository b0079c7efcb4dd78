#include "activation_bias.h"

#include <map>

#include "check_moments.h"
#include "sagesan/sanitize/rules.h"
#include "sagesan/spectral/moment_matrix.h"
#include "sagesan/support/error.h"

namespace sagesan {
namespace {

/// One update of one model, to be measured where it reads.
struct Reader {
  const PlannedTensor* tensor;
  size_t model;
  size_t row;  ///< its index in `MomentsBias::tensors`
};

/// Collects the rows of one moments file.
class BiasRun {
 public:
  BiasRun(const MomentsFile& file, const std::vector<Plan>& plans, MomentsBias& result,
          const std::function<void()>& advance)
      : file_(file), models_(plans.size()), result_(result), advance_(advance) {
    for (size_t model = 0; model < plans.size(); ++model) {
      for (const PlannedTensor& tensor : plans[model].tensors) add(tensor, model);
    }
  }

  void run() {
    for (const Reader& reader : vectors_) measure(reader, bias_rule().measures.front(), 1);
    for (const auto& [site, readers] : readers_) {
      const SiteMoment moment = file_.read(site.name(), at::kCPU);
      if (const auto* second = std::get_if<SecondMoment>(&moment)) {
        measure_linear(site, *second, readers);
      } else {
        const auto& diagonal = std::get<DiagonalMoment>(moment);
        const Rule rule = site.is_norm() ? norm_rule(norm_energies(diagonal, place(site)))
                                         : embedding_rule(embedding_energies(diagonal));
        for (const Reader& reader : readers) measure(reader, rule.measures.front(), 1);
      }
    }
  }

 private:
  void add(const PlannedTensor& tensor, size_t model) {
    const Update& update = *tensor.update;
    if (tensor.treatment != Treatment::kSolve || !is_computable(update.base.info->dtype) ||
        !is_computable(update.unlearned.info->dtype))
      return;
    if (tensor.parameter->kind == ParameterKind::kBias) {
      vectors_.push_back({&tensor, model, row_of(tensor, tensor.name(), nullptr)});
      return;
    }
    const Site site = tensor.site();
    readers_[site].push_back({&tensor, model, row_of(tensor, tensor.name(), &site)});
    if (const std::optional<Site>& head = tensor.parameter->head)
      readers_[*head].push_back(
          {&tensor, model, row_of(tensor, tensor.name() + " (head)", &*head)});
  }

  /// The index of the row of that name, made where no model before had it.
  size_t row_of(const PlannedTensor& tensor, const std::string& name, const Site* site) {
    const auto [found, fresh] = rows_.try_emplace(name, result_.tensors.size());
    if (!fresh) return found->second;
    result_.tensors.push_back({.name = name,
                               .kind = std::string(parameter_kind_name(tensor.parameter->kind)),
                               .site = site == nullptr ? "" : site->name(),
                               .layer = layer_of(tensor.site()),
                               .updates = std::vector<double>(models_)});
    return found->second;
  }

  std::string place(const Site& site) const {
    return printable(file_.path().string()) + ": " + site.name();
  }

  void measure_linear(const Site& site, const SecondMoment& moment,
                      const std::vector<Reader>& readers) {
    // No token reached that expert: nothing can be said of it.
    if (site.is_expert() && !(moment.trace() > 0)) return;
    const MomentMatrix matrix(moment, place(site));
    // Experts add up by what they saw: their moments are over all tokens.
    const double share =
        site.is_expert() ? moment.weight() / static_cast<double>(file_.origin().tokens()) : 1;
    const auto response = [&](const Tensor& m, int64_t) { return matrix.response(m); };
    for (const Reader& reader : readers) measure(reader, response, share);
  }

  void measure(const Reader& reader, const Measure& measure, double share) {
    const Parameter& parameter = *reader.tensor->parameter;
    Rule rule = keep_rule();
    rule.measures.push_back(measure);
    const SolveFigures figures =
        apply_rule(*reader.tensor->update, rule,
                   {.view = reader.tensor->view(), .base_offset = parameter.offset}, nullptr);
    BiasRow& row = result_.tensors[reader.row];
    row.base = share * figures.responses.front().base;
    row.updates[reader.model] = share * figures.responses.front().before;
    advance_();
  }

  const MomentsFile& file_;
  size_t models_;
  MomentsBias& result_;
  const std::function<void()>& advance_;
  std::map<std::string, size_t> rows_;
  std::map<Site, std::vector<Reader>> readers_;
  std::vector<Reader> vectors_;  ///< biases, which need no moment
};

void add_to(BiasRow& sum, const BiasRow& row) {
  sum.base += row.base;
  sum.updates.resize(row.updates.size());
  for (size_t i = 0; i < row.updates.size(); ++i) sum.updates[i] += row.updates[i];
}

/// The sums by site and by layer, in the order in which they first come.
void add_sums(MomentsBias& result) {
  std::map<std::string, size_t> sites;
  std::map<int64_t, BiasRow> layers;
  for (const BiasRow& row : result.tensors) {
    if (!row.site.empty()) {
      const auto [found, fresh] = sites.try_emplace(row.site, result.sites.size());
      if (fresh) result.sites.push_back({.name = row.site, .layer = row.layer});
      add_to(result.sites[found->second], row);
    }
    if (row.kind == parameter_kind_name(ParameterKind::kLinear) && row.layer) {
      BiasRow& layer = layers[*row.layer];
      layer.layer = row.layer;
      add_to(layer, row);
    }
  }
  for (auto& [index, layer] : layers) result.layers.push_back(std::move(layer));
}

}  // namespace

std::optional<int64_t> layer_of(const Site& site) {
  const bool inside = site.layer >= 0 && site < Site{site.layer, SiteKind::kFinalNorm};
  return inside && site.module.empty() ? std::optional(site.layer) : std::nullopt;
}

Plan bias_plan(const UpdateVector& updates, const ModelMap& map) {
  return make_plan(updates, map, Method::kSage, OtherPolicy::kShrink, NameFilter({}, {}));
}

MomentsBias measure_bias(const std::string& name, const MomentsFile& file,
                         const std::vector<Plan>& plans, const std::function<void()>& advance) {
  MomentsBias result{
      .name = name, .files = file.origin().retain_files, .tokens = file.origin().tokens()};
  compute_with_moments([&] { BiasRun(file, plans, result, advance).run(); });
  add_sums(result);
  return result;
}

}  // namespace sagesan
