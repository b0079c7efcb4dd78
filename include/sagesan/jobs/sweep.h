#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "sagesan/evaluate/text_score.h"
#include "sagesan/jobs/sanitize.h"
#include "sagesan/support/json.h"
#include "sagesan/support/progress.h"

namespace sagesan {

/// One way to sanitize, and what came of it.
struct SweepCandidate {
  Method method = Method::kSage;
  double strength = 1;  ///< infinite: nullspace; of rollback no more than 0
  double energy = 0.95, gain = 1;
  OtherPolicy other = OtherPolicy::kShrink;
  double share = 0;  ///< of rollback

  LikelihoodSummary forget, retain;
  /// (L - L_base) / (L_unlearned - L_base) of the mean losses L on the forget texts: the share of
  /// the forgetting that is left.
  double kept_forgetting = 0;
  /// (L_unlearned - L) / (L_unlearned - L_base) on the retain texts: the share of the damage that
  /// was taken out; absent where the unlearned model does no worse than the base.
  std::optional<double> recovered;

  /// Whether its method has such an option.
  bool has_strength() const { return method != Method::kNullspace && method != Method::kRollback; }
  bool has_energy() const {
    return !uses_every_direction(method) && method != Method::kScale && method != Method::kRollback;
  }
  /// A gain on a scaled update is another factor.
  bool has_gain() const { return method != Method::kScale && method != Method::kRollback; }
  /// What grows along a series: the strength, or the share of rollback.
  double dose() const { return method == Method::kRollback ? share : strength; }
  /// "sage energy=0.95 gain=1.5 other=keep": what it has in common with those that differ in the
  /// dose alone.
  std::string series() const;
  /// The same with the dose.
  std::string name() const;
};

struct SweepOptions {
  /// The pair, the retain texts or moments, and what all candidates share. Where `out` is empty
  /// nothing is written; `forget` are the forget texts.
  SanitizeOptions sanitize;
  std::vector<std::filesystem::path> retain_eval;  ///< texts that retention is judged by
  std::vector<std::filesystem::path> forget_eval;  ///< forgetting; empty: by `sanitize.forget`
  std::vector<Method> methods = {Method::kSage, Method::kForgetAware};
  std::vector<double> strengths = {0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30};
  std::vector<double> energies = {0.95}, gains = {1, 1.5};  ///< docs/evidence.md
  std::vector<double> shares = {0.1};                       ///< of rollback
  std::vector<OtherPolicy> others = {OtherPolicy::kShrink};
  double keep_forgetting = 0.95;  ///< what the best must keep, in (0, 1]
};

/// The frontier.
struct SweepResult {
  LikelihoodSummary base_forget, base_retain;
  SweepCandidate unlearned;                ///< as it is: strength 0
  std::vector<SweepCandidate> candidates;  ///< in the order of the options
  double keep_forgetting = 0.95;
  std::vector<RetainFileReport> forget_files, retain_files;  ///< by which they were judged
  std::string written;  ///< the candidate that was written; empty: none

  /// The one that does best on the retain texts among those that keep enough of the forgetting;
  /// the unlearned model where none does better than it. Of equal ones the first, and uniform
  /// scaling before the others.
  const SweepCandidate& best() const;
  /// Its name; "unlearned" for the model as it is.
  std::string best_name() const;
  /// The same among uniform scalings and the unlearned model alone.
  const SweepCandidate& best_scaling() const;
  /// Whether `best` is the unlearned model or a scaled one: nothing beats shrinking the update.
  bool nothing_beats_scaling() const;

  /// Mean loss on the retain texts at equal forgetting, which is `keep_forgetting` of the source's,
  /// interpolated along the candidates of one series from the unlearned model on. Absent where
  /// these do not pass through it.
  struct EqualForgetting {
    std::string series;
    std::optional<double> retain_loss;
  };
  std::vector<EqualForgetting> at_equal_forgetting() const;

  Json to_json() const;
};

/// The result as one self-contained HTML page.
std::string sweep_page(const SweepResult& result);

/// Fills in `kept_forgetting` and `recovered`. Throws `Error` where the unlearned model's loss on
/// the forget texts is no higher than the base's: then nothing was forgotten there.
void judge_candidates(SweepResult& result);

/// Evaluates every combination of the options in memory, with uniform scaling and the hard
/// projection always among them, and writes the best where `sanitize.out` is given. Throws as
/// `sanitize`.
SweepResult sweep(const SweepOptions& options, const Progress& progress,
                  const std::function<void(const std::string&)>& notice);

}  // namespace sagesan
