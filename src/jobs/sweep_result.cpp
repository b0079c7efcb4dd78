#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "sagesan/jobs/sweep.h"
#include "sagesan/support/error.h"

namespace sagesan {
namespace {

/// The policy where it is not the usual one.
std::string other_suffix(OtherPolicy other) {
  return other == OtherPolicy::kShrink ? "" : fmt::format(" other={}", other_policy_name(other));
}

bool is_scaling(const SweepCandidate& candidate) { return candidate.method == Method::kScale; }

double forget_loss(const SweepCandidate& candidate) {
  return candidate.forget.mean_negative_log_likelihood;
}
double retain_loss(const SweepCandidate& candidate) {
  return candidate.retain.mean_negative_log_likelihood;
}

/// The best of those that `admits` lets in; the unlearned model where none is better.
template <typename Admits>
const SweepCandidate& best_of(const SweepResult& result, const Admits& admits) {
  const SweepCandidate* best = &result.unlearned;
  // Uniform scaling first: of two that do equally well it is the simpler one.
  for (const bool scaling : {true, false}) {
    for (const SweepCandidate& candidate : result.candidates) {
      if (is_scaling(candidate) == scaling && admits(candidate) &&
          candidate.kept_forgetting >= result.keep_forgetting &&
          retain_loss(candidate) < retain_loss(*best))
        best = &candidate;
    }
  }
  return *best;
}

/// The least retain loss at which the way through `points` passes the forget loss `level`.
std::optional<double> interpolate(const std::vector<const SweepCandidate*>& points, double level) {
  std::optional<double> least;
  for (size_t i = 1; i < points.size(); ++i) {
    const SweepCandidate& from = *points[i - 1];
    const SweepCandidate& to = *points[i];
    const double low = std::min(forget_loss(from), forget_loss(to));
    const double high = std::max(forget_loss(from), forget_loss(to));
    if (level < low || level > high) continue;
    const double way =
        high > low ? (level - forget_loss(from)) / (forget_loss(to) - forget_loss(from)) : 0;
    const double loss = retain_loss(from) + way * (retain_loss(to) - retain_loss(from));
    if (!least || loss < *least) least = loss;
  }
  return least;
}

Json losses_json(const LikelihoodSummary& forget, const LikelihoodSummary& retain) {
  const auto of = [](const LikelihoodSummary& summary) {
    Json json = {{"mean_negative_log_likelihood", summary.mean_negative_log_likelihood},
                 {"mean_answer_probability", summary.mean_answer_probability},
                 {"loss_by_index", Json::array()}};
    for (const auto& loss : summary.losses)
      json["loss_by_index"].push_back(loss ? Json(*loss) : Json(nullptr));
    return json;
  };
  return {{"forget", of(forget)}, {"retain", of(retain)}};
}

/// What came of it.
Json outcome_json(const SweepCandidate& candidate) {
  Json json = losses_json(candidate.forget, candidate.retain);
  json["kept_forgetting"] = candidate.kept_forgetting;
  json["recovered"] = candidate.recovered ? Json(*candidate.recovered) : Json(nullptr);
  return json;
}

Json candidate_json(const SweepCandidate& candidate) {
  Json json = outcome_json(candidate);
  json["name"] = candidate.name();
  json["method"] = method_name(candidate.method);
  json["strength"] = std::isfinite(candidate.strength) ? Json(candidate.strength) : Json(nullptr);
  json["share"] = candidate.method == Method::kRollback ? Json(candidate.share) : Json(nullptr);
  json["energy"] = candidate.energy;
  json["carrier_gain"] = candidate.gain;
  json["other"] = other_policy_name(candidate.other);
  return json;
}

}  // namespace

std::string SweepCandidate::series() const {
  std::string name(method_name(method));
  if (has_energy()) name += fmt::format(" energy={:g}", energy);
  if (gain != 1) name += fmt::format(" gain={:g}", gain);
  return name + other_suffix(other);
}

std::string SweepCandidate::name() const {
  if (method == Method::kScale)
    return fmt::format("scale factor={:.4g}{}", gain / (1 + strength), other_suffix(other));
  if (method == Method::kRollback) return fmt::format("{} share={:g}", series(), share);
  return has_strength() ? fmt::format("{} strength={:g}", series(), strength) : series();
}

const SweepCandidate& SweepResult::best() const {
  return best_of(*this, [](const SweepCandidate&) { return true; });
}

std::string SweepResult::best_name() const {
  return &best() == &unlearned ? "unlearned" : best().name();
}

const SweepCandidate& SweepResult::best_scaling() const { return best_of(*this, is_scaling); }

bool SweepResult::nothing_beats_scaling() const { return &best() == &best_scaling(); }

std::vector<SweepResult::EqualForgetting> SweepResult::at_equal_forgetting() const {
  const double before = base_forget.mean_negative_log_likelihood;
  const double level = before + keep_forgetting * (forget_loss(unlearned) - before);
  std::vector<std::string> names;
  std::map<std::string, std::vector<const SweepCandidate*>> series;
  for (const SweepCandidate& candidate : candidates) {
    auto& points = series[candidate.series()];
    if (points.empty()) names.push_back(candidate.series());
    points.push_back(&candidate);
  }
  std::vector<EqualForgetting> result;
  for (const std::string& name : names) {
    auto& points = series[name];
    std::stable_sort(points.begin(), points.end(),
                     [](const auto* a, const auto* b) { return a->dose() < b->dose(); });
    // A chord to a single point is no way that candidates go.
    const bool begins_unlearned = points.front()->gain == 1 && points.size() > 1;
    if (begins_unlearned) points.insert(points.begin(), &unlearned);
    result.push_back({name, interpolate(points, level)});
  }
  return result;
}

void judge_candidates(SweepResult& result) {
  const double base_forget = result.base_forget.mean_negative_log_likelihood;
  const double base_retain = result.base_retain.mean_negative_log_likelihood;
  const double rise = forget_loss(result.unlearned) - base_forget;
  const double damage = retain_loss(result.unlearned) - base_retain;
  if (!(rise > 0)) {
    throw Error(
        ExitCode::kBadInput,
        fmt::format("the forget texts are not forgotten: their mean loss is {:.4g} in the "
                    "unlearned model and {:.4g} in the base; give texts that the unlearning "
                    "was about",
                    forget_loss(result.unlearned), base_forget));
  }
  const auto judge = [&](SweepCandidate& candidate) {
    candidate.kept_forgetting = (forget_loss(candidate) - base_forget) / rise;
    if (damage > 0)
      candidate.recovered = (retain_loss(result.unlearned) - retain_loss(candidate)) / damage;
  };
  for (SweepCandidate& candidate : result.candidates) judge(candidate);
  judge(result.unlearned);
}

Json SweepResult::to_json() const {
  Json json = {
      {"schema_version", 1},
      {"tool", {{"name", "sagesan"}, {"version", SAGESAN_VERSION}}},
      {"keep_forgetting", keep_forgetting},
      {"base", losses_json(base_forget, base_retain)},
      {"unlearned", outcome_json(unlearned)},
      {"inputs",
       {{"forget", sagesan::to_json(forget_files)}, {"retain", sagesan::to_json(retain_files)}}},
      {"candidates", Json::array()},
      {"at_equal_forgetting", Json::array()},
      {"best", best_name()},
      {"nothing_beats_scaling", nothing_beats_scaling()},
      {"written", written.empty() ? Json(nullptr) : Json(written)}};
  for (const SweepCandidate& candidate : candidates)
    json["candidates"].push_back(candidate_json(candidate));
  for (const EqualForgetting& point : at_equal_forgetting()) {
    json["at_equal_forgetting"].push_back(
        {{"series", point.series},
         {"retain_loss", point.retain_loss ? Json(*point.retain_loss) : Json(nullptr)}});
  }
  return json;
}

}  // namespace sagesan
