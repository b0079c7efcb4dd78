#include "memory_need.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <vector>

#include "sagesan/activations/runner.h"
#include "sagesan/sanitize/rules.h"
#include "sagesan/spectral/subspace.h"
#include "sagesan/support/error.h"
#include "sagesan/support/memory.h"
#include "site_rules.h"

namespace sagesan {
namespace {

constexpr double kFloat = 4;
constexpr double kDouble = 8;
/// What is freed and kept for the next step, and what lies between blocks and is of no use.
constexpr double kSlack = 100 << 20;
/// The buffers that MKL keeps.
constexpr double kMklBuffers = 30 << 20;
/// By what the heap's layout makes runs differ: 70 MiB were seen where all blocks lie in it.
constexpr double kDoubt = 128 << 20;
/// Tensors of a block of rows while it is solved, in `apply_rule`.
constexpr double kSolveBlocks = 16;

/// What is held while the inputs of one site are solved for, beside its moment: counted in copies
/// of a matrix as large as the moment. `worst`: should few directions not hold the energy, a system
/// not do for measuring, or rounding leave no root, which then is one of a copy (8).
double solving(const SanitizeOptions& options, double channels, double rows, bool is_tied_head,
               bool worst) {
  const double square = channels * channels;
  const double copy = worst ? 8 : 0;
  // Of rows a sum is made.
  if (options.method == Method::kForgetAware) return ((rows > 0 ? 44 : 36) + copy) * square;
  // Rows and directions in float64, both in float32, and a decomposition of the Gram matrix.
  if (rows > 0) return (8 + 4 + 16 + 4) * rows * channels + 32 * rows * rows;
  // A root and its float32.
  if (options.method == Method::kRollback) return (12 + copy) * square;
  // A system and its factor, and a root of its own at strengths that are small or immense.
  if (needs_no_directions(options, false, is_tied_head)) return (worst ? 20 + copy : 16) * square;
  const bool every = worst || options.energy == 1 || uses_every_direction(options.method);
  // Directions, root, and a QR decomposition of as many random ones.
  if (every && options.method == Method::kRandom) return 40 * square;
  // All directions and what `eigh` works in; or a root and its float32.
  return every || channels < kLeastIteratedChannels ? 25 * square : 12 * square;
}

/// A step at which much is held.
struct Step {
  double bytes;
  std::string place;
};

class Model {
 public:
  Model(const SanitizeOptions& options, const SanitizeInputs& inputs, const Plan& plan)
      : options_(options),
        inputs_(inputs),
        model_(inputs.observed_model(options)),
        plan_(plan),
        channels_(parameter_sites(inputs.map.parameters)),
        block_(static_cast<double>(std::max(most_block_tokens(inputs.retain.batch),
                                            most_block_tokens(inputs.forget.batch)))) {
    for (const Site& site : plan.sites) {
      if (site.is_diagonal()) continue;
      std::vector<Site>& sites = sites_[site.layer];
      const bool known =
          site.is_expert() && std::any_of(sites.begin(), sites.end(), [&](const Site& s) {
            return s.is_expert() && s.kind == site.kind;
          });
      if (!known) sites.push_back(site);
    }
    for (const auto& [site, width] : channels_) {
      if (!site.is_diagonal())
        widest_[site.layer] = std::max(widest_[site.layer], static_cast<double>(width));
    }
    if (!runs_model()) return;
    for (const auto& [name, parameter] : model_parameters(model_)) {
      // One expert at a time.
      if (parameter.site.is_expert() && parameter.site.expert > 0) continue;
      double values = kFloat;
      for (const int64_t size : parameter.shape) values *= static_cast<double>(size);
      if (parameter.experts > 0) values /= static_cast<double>(parameter.experts);
      weights_[parameter.site.layer] += values;
    }
  }

  /// `worst`: as `solving` has it.
  Step largest(bool worst) const {
    std::vector<Step> steps = {{0, ""}};
    if (runs_model()) {
      const int64_t layers = ObservationPlan{.sites = plan_.sites}.layers_to_run(model_);
      for (int64_t layer = 0; layer < layers; ++layer)
        steps.push_back({forward(layer), fmt::format("layer {}", layer)});
    }
    for (const auto& [layer, sites] : sites_) {
      for (const Site& site : sites) steps.push_back({solved(site, worst), site.name()});
    }
    return *std::max_element(steps.begin(), steps.end(),
                             [](const Step& a, const Step& b) { return a.bytes < b.bytes; });
  }

 private:
  /// Over retain or forget texts.
  bool runs_model() const { return !inputs_.moments || options_.method == Method::kForgetAware; }

  const std::vector<Site>& sites(int64_t layer) const {
    static const std::vector<Site> none;
    const auto found = sites_.find(layer);
    return found == sites_.end() ? none : found->second;
  }

  double channels(const Site& site) const { return static_cast<double>(channels_.at(site)); }

  /// Rows that stand for the second moment of `site`; 0: it is a sum.
  double rows(const Site& site) const {
    int64_t tokens = inputs_.retain.batch.tokens();
    if (inputs_.moments) tokens = inputs_.moments->sites().at(site.name()).tokens.value_or(0);
    const int64_t width = channels_.at(site);
    if (tokens >= width && site.is_expert()) tokens = width - 1;  // it sees some of them
    return tokens < width ? static_cast<double>(tokens) : 0;
  }

  double moment(const Site& site) const {
    const double width = channels(site);
    return rows(site) > 0 ? rows(site) * width * kFloat : width * width * kDouble;
  }

  /// The forget texts' moments of a layer: they stay until the next one.
  double forget_moments(int64_t layer) const {
    if (options_.method != Method::kForgetAware) return 0;
    const auto tokens = static_cast<double>(inputs_.forget.batch.tokens());
    double sum = 0;
    for (const Site& site : sites(layer)) {
      const double width = channels(site);
      if (site.is_expert()) {  // all together: a sum is no larger than its tokens in float64
        sum += static_cast<double>(model_.experts.per_token) * tokens * width * kDouble;
      } else {
        sum += tokens < width ? tokens * width * kFloat : width * width * kDouble;
      }
    }
    return sum;
  }

  /// The layer's weights, its moments, and what a block of texts needs inside it: most where the
  /// MLP's hidden inputs are made of two others as large.
  double forward(int64_t layer) const {
    double moments = 0;
    for (const Site& site : sites(layer)) moments += moment(site);
    const auto hidden = static_cast<double>(model_.hidden_size);
    const auto tokens = static_cast<double>(inputs_.retain.batch.tokens());
    const double experts = model_.experts.count > 0 ? 3 * tokens * hidden * kFloat : 0;
    return weights_.at(layer) + moments + forget_moments(layer) + experts +
           3 * block_ * (widest_.at(layer) + hidden) * kFloat;
  }

  /// Numbers of the largest block that is solved at once: of a transposed matrix all.
  double solved_elements(const Site& site) const {
    const int64_t width = channels_.at(site);
    int64_t most = rule_block_rows(width) * width;
    if (!model_.transposed) return static_cast<double>(most);
    for (const PlannedTensor& tensor : plan_.tensors) {
      if (tensor.parameter && tensor.parameter->transposed && tensor.site() == site)
        most = std::max(most, tensor.update->unlearned.info->elements());
    }
    return static_cast<double>(most);
  }

  /// Beside what solving for a site takes.
  double waiting(const Site& site) const {
    if (inputs_.moments) return moment(site) + forget_moments(site.layer);
    if (site.is_expert()) {  // while its layer runs
      const bool both = options_.method == Method::kForgetAware;
      return forward(site.layer) + (both ? weights_.at(site.layer) : 0);
    }
    double sum = forget_moments(site.layer);  // and those of the layer that wait for their turn
    for (const Site& other : sites(site.layer)) {
      if (!other.is_expert() && !(other < site)) sum += moment(other);
    }
    return sum;
  }

  double solved(const Site& site, bool worst) const {
    const double width = channels(site);
    const double applied = rows(site) > 0 ? 0 : 8 * width * width;  // directions and a root
    const double blocks = kSolveBlocks * solved_elements(site) * kFloat;
    const double solve =
        solving(options_, width, rows(site), inputs_.map.is_tied_head(site), worst);
    const double most = std::max(solve, applied + blocks);
    if (!options_.rounding_feedback) return waiting(site) + most;
    // A factor that stays, made by way of two matrices.
    const double square = width * width;
    return waiting(site) + std::max(16 * square, 4 * square + most);
  }

  const SanitizeOptions& options_;
  const SanitizeInputs& inputs_;
  const ModelConfiguration& model_;
  const Plan& plan_;
  std::map<Site, int64_t> channels_;
  double block_;                       ///< most tokens of a block of texts
  std::map<int64_t, double> weights_;  ///< of each layer, bytes
  std::map<int64_t, double> widest_;   ///< of each layer, channels
  /// Of each layer those that need matrices; of its experts' one stands for all.
  std::map<int64_t, std::vector<Site>> sites_;
};

/// What an adapter as the output holds until it is written: its tensors, and one of those that it
/// replaces as a whole.
double of_adapter(const SanitizeOptions& options, const SanitizeInputs& inputs, const Plan& plan) {
  if (options.output.format != OutputFormat::kAdapter) return 0;
  uint64_t all = 0;
  uint64_t largest = 0;
  for (const TensorInfo& info : inputs.unlearned.adapters->front().file().tensors())
    all += info.bytes;
  for (const PlannedTensor& tensor : plan.tensors) {
    const AdapterChange& change = inputs.unlearned.merged->changes(tensor.update->name).front();
    if (!change.low_rank) largest = std::max(largest, tensor.update->unlearned.info->bytes);
  }
  return static_cast<double>(all + largest);
}

}  // namespace

MemoryNeed memory_need(const SanitizeOptions& options, const SanitizeInputs& inputs,
                       const Plan& plan) {
  const Model steps(options, inputs, plan);
  const Step worst = steps.largest(true);
  const ModelConfiguration& model = inputs.observed_model(options);
  MemoryNeed need{.place = worst.place};
  // All experts' tokens are looked at together.
  const double hidden =
      inputs.moments == nullptr
          ? static_cast<double>(inputs.retain.batch.tokens() * model.hidden_size) * kFloat
          : 0;
  const double of_forget =
      static_cast<double>(inputs.forget.batch.tokens() * model.hidden_size) * kFloat;
  const double always = static_cast<double>(resident_memory()) + kSlack +
                        (at::hasMKL() ? kMklBuffers : 0) + of_adapter(options, inputs, plan) +
                        of_forget + hidden;
  need.bytes = static_cast<uint64_t>(always + steps.largest(false).bytes);
  need.most = static_cast<uint64_t>(always + worst.bytes + kDoubt);
  if (model.experts.count == 0) need.hidden = static_cast<uint64_t>(hidden);
  return need;
}

bool must_spill(const SanitizeOptions& options, const MemoryNeed& need) {
  const uint64_t limit = options.max_memory > 0 ? options.max_memory : usable_memory();
  if (limit == 0 || need.most <= limit) return false;
  const bool enough = need.most - need.hidden <= limit;
  // Nobody asked for a limit: what can be done is done.
  if (enough || options.max_memory == 0) return need.hidden > 0;
  throw InputError(
      options.base.string(),
      fmt::format("the run needs about {} MiB of memory at {}{}, --max-memory allows {}: "
                  "fewer retain tokens (--max-tokens) or fewer tensors (--include) need less",
                  (need.most - need.hidden) >> 20, need.place,
                  need.hidden > 0 ? " even with its hidden states on the disk" : "",
                  options.max_memory >> 20));
}

}  // namespace sagesan
