#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "sagesan/support/json.h"
#include "sagesan/support/progress.h"

namespace sagesan::demo {

struct DemoOptions {
  std::filesystem::path out;  ///< kept there; empty: a temporary directory, removed at the end
  int64_t seed = 1;           ///< of the first pair
  int64_t seeds = 1;          ///< how many pairs, with consecutive seeds
  std::string device = "cpu";
  bool overwrite = false;
};

/// Mean answer probabilities of one model, in [0, 1].
struct Scores {
  double forget = 0;   ///< low: forgotten
  double heldout = 0;  ///< high: kept; none of these records was used for anything but this
};

/// What was done to one unlearned model.
struct Variant {
  std::string approach;  ///< "scaled", "random" (the control) or "sanitized"
  double strength = 0;   ///< of the filter; scaled: the update is divided by 1 + strength
  Scores scores;
};

/// Held-out probability of each approach at one forget probability, by interpolation between its
/// strengths. Absent where an approach does not come to it.
struct Retention {
  double forget = 0;
  std::optional<double> scaled, random, sanitized;
};

/// One unlearning method on one pair.
struct MethodResult {
  int64_t seed = 0;
  std::string method;  ///< "ga", "graddiff", "npo"
  Scores unlearned;
  std::vector<Variant> variants;
  Retention retention;
};

struct DemoResult {
  std::vector<Scores> base;  ///< one for each seed
  std::vector<MethodResult> methods;

  /// Means over the seeds, for one unlearning method; over the seeds where all three are there.
  Retention mean_retention(const std::string& method) const;
  Json to_json() const;
};

/// Makes pairs (tools/pair_maker), scales and sanitizes every unlearned model at several strengths
/// and evaluates all of them. Throws `Error`.
DemoResult run_demo(const DemoOptions& options, const Progress& progress,
                    const std::function<void(const std::string&)>& notice);

/// Held-out probability of `variants` of one approach, from weak to strong, at forget probability
/// `level`: linear between neighbours. The curve begins at the unlearned model.
std::optional<double> interpolate(const Scores& unlearned, const std::vector<Variant>& variants,
                                  const std::string& approach, double level);

}  // namespace sagesan::demo
