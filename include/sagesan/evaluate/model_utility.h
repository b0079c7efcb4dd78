#pragma once

#include <optional>
#include <vector>

#include "sagesan/evaluate/data_scores.h"

namespace sagesan {

/// The probability of the right answer among all that a record has, p / (p + sum of the wrong
/// ones' + 1e-10); mean over the records that have wrong answers, nothing where none has
/// (open-unlearning: memorization.py `probability_w_options`).
std::optional<Figure> option_probability(const std::vector<RecordScore>& records);

/// TOFU's model utility: the harmonic mean of nine figures, the probability, the recall of ROUGE-L
/// and the truth ratio of each data set; the latter two data sets' probability is among all options
/// (open-unlearning: configs/eval/tofu_metrics/model_utility.yaml). Nothing where one of the nine
/// is missing.
std::optional<double> model_utility(const std::vector<RecordScore>& retain,
                                    const std::vector<RecordScore>& real_authors,
                                    const std::vector<RecordScore>& world_facts);

}  // namespace sagesan
