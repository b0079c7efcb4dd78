#pragma once

#include <filesystem>
#include <optional>
#include <vector>

namespace sagesan {

/// What an evaluation of a model that was trained without the forget sets says of them.
struct Reference {
  std::vector<double> truth_ratios;  ///< of the forget sets' records; empty: not there
  std::optional<double> membership;  ///< the area under Min-K%'s ROC curve, in [0, 1]
};

/// Reads the JSON of `sagesan evaluate` on one model (the `truth_ratio` of data sets that were
/// given as --forget, and `mia_min_k`) or open-unlearning's TOFU_EVAL.json (`forget_truth_ratio`,
/// older `forget_Truth_Ratio`, and `mia_min_k`). What is absent or null is left out; throws
/// `InputError` where both are, for several models and for what is mistyped.
Reference read_reference(const std::filesystem::path& file);

/// How much farther the membership of forget texts in a model's training data is from the
/// reference's than that is from certainty, in percent: with s = 1 - `membership`, r = 1 - the
/// reference's, 100 (s - r) / (r + 1e-10). Negative where too little was forgotten, positive where
/// too much (open-unlearning: privacy.py `privleak`, whose default for the reference is 0.5).
double privacy_leak(double membership, double reference);

}  // namespace sagesan
