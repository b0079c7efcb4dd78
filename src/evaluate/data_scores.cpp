#include "sagesan/evaluate/data_scores.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

namespace sagesan {
namespace {

using Value = std::function<std::optional<double>(const RecordScore&)>;

std::optional<Figure> average(const std::vector<RecordScore>& records, const Value& value,
                              const std::function<double(double)>& share) {
  Figure figure;
  double sum = 0;
  for (size_t i = 0; i < records.size(); ++i) {
    const std::optional<double> found = value(records[i]);
    if (!found) continue;
    figure.values[i] = *found;
    sum += share(*found);
  }
  if (figure.values.empty()) return std::nullopt;
  figure.aggregate = sum / static_cast<double>(figure.values.size());
  return figure;
}

double itself(double value) { return value; }

}  // namespace

std::optional<double> RecordScore::truth_ratio() const {
  const TextScore& right = paraphrased ? *paraphrased : answer;
  const bool usable = !right.empty() && !perturbed.empty() &&
                      std::none_of(perturbed.begin(), perturbed.end(),
                                   [](const TextScore& wrong) { return wrong.empty(); });
  if (!usable) return std::nullopt;
  const double wrong_loss =
      std::accumulate(perturbed.begin(), perturbed.end(), 0.0,
                      [](double sum, const TextScore& wrong) { return sum + wrong.loss(); }) /
      static_cast<double>(perturbed.size());
  return std::exp(-wrong_loss) / (right.probability() + kTiny);
}

std::optional<Figure> exact_memorization(const std::vector<RecordScore>& records) {
  return average(
      records,
      [](const RecordScore& record) -> std::optional<double> {
        if (!record.answer.has_inner_tokens()) return std::nullopt;
        return record.answer.exact_memorization();
      },
      itself);
}

std::optional<Figure> extraction_strength(const std::vector<RecordScore>& records) {
  return average(
      records,
      [](const RecordScore& record) -> std::optional<double> {
        return record.answer.has_inner_tokens() ? record.answer.extraction_strength() : 0;
      },
      itself);
}

std::optional<Figure> truth_ratio(const std::vector<RecordScore>& records, bool forget) {
  const auto share = [forget](double ratio) {
    return forget ? std::min(ratio, 1 / (ratio + kTiny)) : std::max(0.0, 1 - ratio);
  };
  return average(
      records, [](const RecordScore& record) { return record.truth_ratio(); }, share);
}

std::optional<Figure> rouge(const std::vector<RecordScore>& records,
                            double GeneratedAnswer::*share) {
  return average(
      records,
      [share](const RecordScore& record) -> std::optional<double> {
        if (!record.generated) return std::nullopt;
        return *record.generated.*share;
      },
      itself);
}

Figure min_k(const std::vector<RecordScore>& records, double k) {
  return average(
             records,
             [k](const RecordScore& record) -> std::optional<double> {
               return record.answer.has_inner_tokens() ? record.answer.min_k(k) : 0;
             },
             itself)
      .value_or(Figure{});
}

}  // namespace sagesan
