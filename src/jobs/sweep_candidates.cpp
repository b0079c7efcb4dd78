#include "sweep_candidates.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <map>

#include "check_plan.h"
#include "sagesan/support/error.h"

namespace sagesan {
namespace {

/// Factors of the uniform scalings that every sweep has.
constexpr std::initializer_list<double> kFactors = {0.975, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.25};

bool contains(const std::vector<SweepCandidate>& candidates, const SweepCandidate& wanted) {
  // A factor of 0.95 has a strength of 1 / 0.95 - 1, whatever way it was come by.
  const auto same = [](double a, double b) { return a == b || std::abs(a - b) <= 1e-9 * b; };
  return std::any_of(candidates.begin(), candidates.end(), [&](const SweepCandidate& candidate) {
    return wanted.method == candidate.method && same(wanted.strength, candidate.strength) &&
           wanted.energy == candidate.energy && wanted.gain == candidate.gain &&
           wanted.share == candidate.share && wanted.other == candidate.other;
  });
}

}  // namespace

std::vector<SweepCandidate> list_candidates(const SweepOptions& options) {
  std::vector<SweepCandidate> candidates;
  const auto add = [&](const SweepCandidate& candidate) {
    if (!contains(candidates, candidate)) candidates.push_back(candidate);
  };
  for (const double factor : kFactors) add({.method = Method::kScale, .strength = 1 / factor - 1});
  std::vector<Method> methods = {Method::kNullspace};
  methods.insert(methods.end(), options.methods.begin(), options.methods.end());
  for (const Method method : methods) {
    const SweepCandidate kind{.method = method};
    const double fixed = method == Method::kNullspace ? std::numeric_limits<double>::infinity() : 0;
    const auto strengths = kind.has_strength() ? options.strengths : std::vector{fixed};
    const auto energies = kind.has_energy() ? options.energies : std::vector{kind.energy};
    const auto gains = kind.has_gain() ? options.gains : std::vector{kind.gain};
    const auto shares = method == Method::kRollback ? options.shares : std::vector{kind.share};
    for (const OtherPolicy other : options.others) {
      for (const double energy : energies) {
        for (const double gain : gains) {
          for (const double strength : strengths) {
            for (const double share : shares) add({method, strength, energy, gain, other, share});
          }
        }
      }
    }
  }
  return candidates;
}

std::vector<SweepCandidate> refine_candidates(const SweepResult& result) {
  // Half a step of the first round's strengths, which are half a decade apart.
  constexpr double kStep = 1.78;
  // Those that forget enough before those that do not; of the first the least retain loss, of the
  // others the most forgetting counts.
  const auto better = [&](const SweepCandidate& a, const SweepCandidate& b) {
    const bool enough = a.kept_forgetting >= result.keep_forgetting;
    if (enough != (b.kept_forgetting >= result.keep_forgetting)) return enough;
    return enough ? a.retain.mean_negative_log_likelihood < b.retain.mean_negative_log_likelihood
                  : a.kept_forgetting > b.kept_forgetting;
  };
  std::map<Method, const SweepCandidate*> bests;
  for (const SweepCandidate& candidate : result.candidates) {
    const SweepCandidate*& best = bests[candidate.method];
    if (best == nullptr || better(candidate, *best)) best = &candidate;
  }
  std::vector<SweepCandidate> candidates;
  const auto add = [&](const SweepCandidate& from, double strength, double gain) {
    SweepCandidate candidate = from;
    candidate.strength = strength;
    candidate.gain = gain;
    if (!contains(candidates, candidate) && !contains(result.candidates, candidate))
      candidates.push_back(candidate);
  };
  for (const auto& [method, best] : bests) {
    if (method == Method::kRollback) continue;
    const bool enough = best->kept_forgetting >= result.keep_forgetting;
    if (method == Method::kScale) {
      for (const double step : {-0.0125, 0.0125}) {
        const double factor = 1 / (1 + best->strength) + step;
        if (factor > 0 && factor < 1) add(*best, 1 / factor - 1, 1);
      }
      continue;
    }
    for (const double gain : {best->gain / 1.2, best->gain, best->gain * 1.2}) {
      for (const double step : {1 / kStep, 1.0, kStep})
        add(*best, best->strength * (enough ? step : step / 10), gain);
    }
  }
  return candidates;
}

SanitizeOptions options_of(const SweepCandidate& candidate, const SanitizeOptions& shared) {
  SanitizeOptions options = shared;
  options.method = candidate.method;
  options.strength = candidate.has_strength() ? candidate.strength : 1;
  options.energy = candidate.energy;
  options.carrier_gain = candidate.gain;
  options.other = candidate.other;
  if (candidate.method == Method::kRollback) options.share = candidate.share;
  return options;
}

void evaluate_candidates(const SanitizeInputs& inputs, const UpdateVector& updates,
                         const SanitizeOptions& shared, const JudgingTexts& texts,
                         std::vector<SweepCandidate> candidates, SweepResult& result,
                         const Progress& progress) {
  if (candidates.empty()) return;
  std::vector<SanitizeOptions> options;
  for (const SweepCandidate& candidate : candidates) {
    const SanitizeOptions& own = options.emplace_back(options_of(candidate, shared));
    check_plan(own, inputs, updates,
               make_plan(updates, inputs.map, own.method, own.other,
                         NameFilter(own.include, own.exclude)));
  }
  const Judgements judgements = score_candidates(inputs, updates, options, texts, progress);
  result.base_forget = judgements.base.forget;
  result.base_retain = judgements.base.retain;
  result.unlearned = {.method = Method::kScale,
                      .strength = 0,
                      .forget = judgements.unlearned.forget,
                      .retain = judgements.unlearned.retain};
  for (size_t i = 0; i < candidates.size(); ++i) {
    candidates[i].forget = judgements.candidates[i].forget;
    candidates[i].retain = judgements.candidates[i].retain;
  }
  result.candidates.insert(result.candidates.end(), std::make_move_iterator(candidates.begin()),
                           std::make_move_iterator(candidates.end()));
  judge_candidates(result);
}

}  // namespace sagesan
