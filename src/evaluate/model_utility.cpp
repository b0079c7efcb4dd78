#include "sagesan/evaluate/model_utility.h"

#include <algorithm>

#include "sagesan/evaluate/statistics.h"

namespace sagesan {
namespace {

std::optional<Figure> mean(Figure figure) {
  if (figure.values.empty()) return std::nullopt;
  for (const auto& [index, value] : figure.values) figure.aggregate += value;
  figure.aggregate /= static_cast<double>(figure.values.size());
  return figure;
}

std::optional<Figure> probability(const std::vector<RecordScore>& records) {
  Figure figure;
  for (size_t i = 0; i < records.size(); ++i) {
    if (!records[i].answer.empty()) figure.values[i] = records[i].answer.probability();
  }
  return mean(std::move(figure));
}

}  // namespace

std::optional<Figure> option_probability(const std::vector<RecordScore>& records) {
  Figure figure;
  for (size_t i = 0; i < records.size(); ++i) {
    const RecordScore& record = records[i];
    const auto empty = [](const TextScore& text) { return text.empty(); };
    if (record.answer.empty() || record.perturbed.empty() ||
        std::any_of(record.perturbed.begin(), record.perturbed.end(), empty))
      continue;
    const double right = record.answer.probability();
    double all = right;
    for (const TextScore& wrong : record.perturbed) all += wrong.probability();
    figure.values[i] = right / (all + kTiny);
  }
  return mean(std::move(figure));
}

std::optional<double> model_utility(const std::vector<RecordScore>& retain,
                                    const std::vector<RecordScore>& real_authors,
                                    const std::vector<RecordScore>& world_facts) {
  std::vector<double> values;
  for (const std::vector<RecordScore>* records : {&retain, &real_authors, &world_facts}) {
    for (const std::optional<Figure>& figure :
         {records == &retain ? probability(*records) : option_probability(*records),
          rouge(*records, &GeneratedAnswer::rouge_l_recall), truth_ratio(*records, false)}) {
      if (!figure) return std::nullopt;
      values.push_back(figure->aggregate);
    }
  }
  return harmonic_mean(values);
}

}  // namespace sagesan
