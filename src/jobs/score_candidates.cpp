#include "score_candidates.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>

#include "forget_moments.h"
#include "moment_stages.h"
#include "sagesan/evaluate/likelihood.h"
#include "sagesan/sanitize/sanitized_tensors.h"
#include "sagesan/support/error.h"
#include "sagesan/support/memory.h"
#include "site_rules.h"

namespace sagesan {
namespace {

Judgement judge(const std::vector<TextScore>& scores, size_t forget) {
  const auto middle = scores.begin() + static_cast<std::ptrdiff_t>(forget);
  return {summarize({scores.begin(), middle}), summarize({middle, scores.end()})};
}

/// One candidate on its way through the model.
class Candidate {
 public:
  Candidate(const SanitizeOptions& options, const SanitizeInputs& inputs,
            const UpdateVector& updates, const JudgingTexts& texts)
      : options_(options),
        device_(inputs.device),
        plan_(make_plan(updates, inputs.map, options.method, options.other,
                        NameFilter(options.include, options.exclude))) {
    auto tensors = std::make_unique<SanitizedTensors>(updates, plan_, inputs.device);
    tensors_ = tensors.get();
    checkpoint_ = Checkpoint::compute(options.unlearned, std::move(tensors), {options.unlearned});
    run_.emplace(inputs.sanitized_model, checkpoint_, texts.batch, texts.first_scored,
                 inputs.device);
    for (const PlannedTensor& tensor : plan_.tensors) {
      if (tensor.treatment != Treatment::kSolve) continue;
      if (tensor.parameter->kind == ParameterKind::kBias) {
        tensors_->solve(tensor, bias_rule(), plain_filter(options));
      } else {
        readers_[tensor.parameter->head.value_or(tensor.site())].push_back(&tensor);
      }
    }
  }
  Candidate(const Candidate&) = delete;  // what it owns refers to it
  Candidate& operator=(const Candidate&) = delete;

  const SanitizeOptions& options() const { return options_; }
  const std::set<Site>& sites() const { return plan_.sites; }
  ScoringRun& run() { return *run_; }
  void share(UpdateBlocks* blocks) { tensors_->share(blocks); }

  /// Solves what reads at a site from here on; `rules` must outlive that.
  void solve(const Site& site, const SiteRules& rules, const Tensor& embedding) {
    const auto readers = readers_.find(site);
    if (readers == readers_.end()) return;
    for (const PlannedTensor* tensor : readers->second) {
      Rule rule = options_.method == Method::kRollback
                      ? choose_rollback(*tensor->update, rules.channels(*tensor, embedding),
                                        options_.share, tensor->view(), device_)
                            .rule
                      : rules.rule(options_, *tensor, embedding);
      tensors_->solve(*tensor, std::move(rule), plain_filter(options_));
    }
  }
  /// An expert that no retain text reaches keeps its update.
  void keep(const Site& site) {
    const auto readers = readers_.find(site);
    if (readers == readers_.end()) return;
    for (const PlannedTensor* tensor : readers->second) tensors_->solve(*tensor, keep_rule(), {});
  }
  void drop(const Site& site) {
    const auto readers = readers_.find(site);
    if (readers == readers_.end()) return;
    for (const PlannedTensor* tensor : readers->second) tensors_->drop(*tensor);
  }

 private:
  const SanitizeOptions& options_;
  at::Device device_;
  Plan plan_;
  SanitizedTensors* tensors_;  ///< owned by `checkpoint_`
  Checkpoint checkpoint_;
  std::optional<ScoringRun> run_;
  std::map<Site, std::vector<const PlannedTensor*>> readers_;
};

/// All candidates on their way.
class Race {
 public:
  Race(const SanitizeInputs& inputs, const UpdateVector& updates,
       const std::vector<SanitizeOptions>& candidates, const JudgingTexts& texts,
       const Progress& progress)
      : inputs_(inputs),
        shared_(candidates.front()),
        progress_(progress),
        base_(inputs.model, inputs.base, texts.batch, texts.first_scored, inputs.device) {
    std::set<Site> linear;
    for (const SanitizeOptions& options : candidates) {
      Candidate& candidate =
          *candidates_.emplace_back(std::make_unique<Candidate>(options, inputs, updates, texts));
      if (!candidate.sites().empty()) users_.push_back(&options);
      sites_.insert(candidate.sites().begin(), candidate.sites().end());
      if (options.method == Method::kForgetAware)
        linear.insert(candidate.sites().begin(), candidate.sites().end());
    }
    if (!linear.empty()) forget_.emplace(inputs, shared_, linear);
    steps_ = static_cast<double>(candidates_.size() + 1) *
             static_cast<double>(inputs.model.layer_count() + 1);
  }

  Judgements run(size_t forget) {
    const int64_t layers = inputs_.model.layer_count();
    prepare_tied_head();
    MomentStages stages(inputs_, shared_, sites_);
    for (int64_t layer = -1; layer <= layers; ++layer) {
      while (!stages.done() && stages.stage() <= layer)
        stages.run_stage([&](const Site& site, const SiteMoment& moment, double reference_trace) {
          prepare(site, moment, reference_trace);
        });
      if (layer < layers) advance(layer);
      if (layer == layers) break;
      for (const auto& candidate : candidates_) {
        for (const auto& [site, rules] : rules_) candidate->drop(site);
        for (const Site& site : unseen_) candidate->drop(site);
      }
      rules_.clear();
      unseen_.clear();
      release_free_memory();
    }
    return finish(forget);
  }

 private:
  /// The embedding comes first, and needs the moment of the head that is tied to it, which the base
  /// sees last: it is run once for that alone.
  void prepare_tied_head() {
    const auto& map = inputs_.map;
    if (map.tied_embedding.empty()) return;
    const Parameter& parameter = map.parameters.at(map.tied_embedding);
    if (!parameter.head || !sites_.contains(*parameter.head)) return;
    tied_embedding_ = parameter.site;
    const std::set<Site> both = {parameter.site, *parameter.head};
    MomentStages stages(inputs_, shared_, both);
    while (!stages.done()) {
      step(0);
      stages.run_stage([&](const Site& site, const SiteMoment& moment, double reference_trace) {
        auto rules = std::make_unique<SiteRules>(site, moment, reference_trace, site.name(), users_,
                                                 ForgetMoment{}, site == *parameter.head);
        (site == parameter.site ? embedding_ : head_) = std::move(rules);
      });
    }
    for (const auto& candidate : candidates_)
      candidate->solve(*parameter.head, *head_, embedding_->energies());
    sites_.erase(*parameter.head);
  }

  void prepare(const Site& site, const SiteMoment& moment, double reference_trace) {
    step(0);
    if (tied_embedding_ == site) return;
    if (site.is_expert() && !(std::get<SecondMoment>(moment).trace() > 0)) {
      for (const auto& candidate : candidates_) candidate->keep(site);
      unseen_.insert(site);
      return;
    }
    const auto rules = rules_.try_emplace(
        site, std::make_unique<SiteRules>(site, moment, reference_trace, site.name(), users_,
                                          forget_ ? forget_->at(site) : ForgetMoment{}, false));
    // What no layer reads is read in blocks of rows, each model for itself.
    if (site.layer < inputs_.model.layer_count()) rules.first->second->keep_products();
    for (const auto& candidate : candidates_) {
      candidate->solve(site, *rules.first->second, Tensor());
      step(0);
    }
  }

  void advance(int64_t layer) {
    const auto go = [&](ScoringRun& run) {
      if (layer < 0) {
        run.embed();
      } else {
        run.run_layer(layer);
      }
      step(1);
    };
    go(base_);
    UpdateBlocks blocks;
    for (const auto& candidate : candidates_) {
      if (layer >= 0) candidate->share(&blocks);
      go(candidate->run());
      candidate->share(nullptr);
    }
  }

  Judgements finish(size_t forget) {
    const auto scores = [&](ScoringRun& run) {
      const Progress inner = [&](std::string_view, double, double) { step(0); };
      return judge(run.finish(inner), forget);
    };
    Judgements result{.base = scores(base_)};
    for (const auto& candidate : candidates_) result.candidates.push_back(scores(candidate->run()));
    return result;
  }

  void step(double done) {
    done_ += done;
    if (progress_) progress_("candidates", done_, steps_);
  }

  const SanitizeInputs& inputs_;
  const SanitizeOptions& shared_;  ///< what all candidates have alike
  const Progress& progress_;
  ScoringRun base_;
  std::vector<std::unique_ptr<Candidate>> candidates_;
  std::vector<const SanitizeOptions*> users_;
  std::set<Site> sites_, unseen_;
  std::optional<ForgetMoments> forget_;
  std::map<Site, std::unique_ptr<SiteRules>> rules_;  ///< of the layer at hand
  std::optional<Site> tied_embedding_;
  std::unique_ptr<SiteRules> embedding_, head_;  ///< where they are tied
  double done_ = 0, steps_ = 1;
};

}  // namespace

void JudgingTexts::add(const TokenData& data, bool is_forget) {
  SAGESAN_ASSERT(!is_forget || forget == batch.lengths.size());
  batch.add(data.batch);
  first_scored.insert(first_scored.end(), data.first_scored.begin(), data.first_scored.end());
  if (is_forget) forget = batch.lengths.size();
}

Judgements score_candidates(const SanitizeInputs& inputs, const UpdateVector& updates,
                            const std::vector<SanitizeOptions>& candidates,
                            const JudgingTexts& texts, const Progress& progress) {
  // Scaling by 1 is the unlearned model: it goes along as one more.
  std::vector<SanitizeOptions> all = candidates;
  SanitizeOptions& unlearned = all.emplace_back(candidates.front());
  unlearned.method = Method::kScale;
  unlearned.strength = 0;
  unlearned.carrier_gain = 1;
  unlearned.other = OtherPolicy::kKeep;
  unlearned.exclude = {""};
  Judgements result = Race(inputs, updates, all, texts, progress).run(texts.forget);
  result.unlearned = result.candidates.back();
  result.candidates.pop_back();
  return result;
}

}  // namespace sagesan
