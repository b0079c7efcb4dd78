#pragma once

#include <vector>

namespace sagesan {

/// The p-value of the two-sample Kolmogorov-Smirnov test, two-sided and exact: the probability that
/// the distribution functions of two samples of these sizes from one continuous distribution lie at
/// least as far apart (scipy.stats.ks_2samp, method "exact"). O(n m). Both samples are finite and
/// not empty.
double kolmogorov_smirnov_p_value(std::vector<double> first, std::vector<double> second);

/// The area under the ROC curve: the probability that a positive's score is larger than a
/// negative's, a tie counting half (sklearn.metrics.roc_auc_score). Both are not empty.
double roc_auc(const std::vector<double>& positives, const std::vector<double>& negatives);

/// n / sum(1 / v); 0 where a value is 0 (scipy.stats.hmean). None negative, not empty.
double harmonic_mean(const std::vector<double>& values);

}  // namespace sagesan
