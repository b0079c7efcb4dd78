#pragma once

#include <map>
#include <optional>
#include <vector>

#include "sagesan/evaluate/generated_answer.h"
#include "sagesan/evaluate/text_score.h"

namespace sagesan {

/// open-unlearning's, against a division by 0.
inline constexpr double kTiny = 1e-10;

/// What a model thinks of one record: of its answer and, in TOFU's perturbed sets, of others.
struct RecordScore {
  TextScore answer;
  std::optional<TextScore> paraphrased;
  std::vector<TextScore> perturbed;
  std::optional<GeneratedAnswer> generated;  ///< behind the record's prompt, where that was asked

  /// How much likelier a wrong answer is than the right one, in other words where there are such
  /// (memorization.py `truth_ratio`): the geometric mean of the wrong answers' probabilities by the
  /// right one's. Nothing without wrong answers or where one has no token.
  std::optional<double> truth_ratio() const;
};

/// A figure of a data set: its mean, or what else it is over the records, and its value for each
/// record that has one, by index (open-unlearning: `agg_value`, `value_by_index`).
struct Figure {
  double aggregate = 0;
  std::map<size_t, double> values;
};

/// Means over the records that have a value; nothing where none has.
std::optional<Figure> exact_memorization(const std::vector<RecordScore>& records);
std::optional<Figure> extraction_strength(const std::vector<RecordScore>& records);

/// Over forget data mean(min(r, 1 / r)): best where wrong and right answers are equally likely;
/// over other data mean(max(0, 1 - r)) (`closer_to_1_better`, `true_better`).
std::optional<Figure> truth_ratio(const std::vector<RecordScore>& records, bool forget);

/// A share that a generated answer has in common with the expected one; nothing without any.
std::optional<Figure> rouge(const std::vector<RecordScore>& records,
                            double GeneratedAnswer::*share);

/// Scores of Min-K% (`TextScore::min_k`), a record without inner tokens counting 0 as there.
Figure min_k(const std::vector<RecordScore>& records, double k);

}  // namespace sagesan
