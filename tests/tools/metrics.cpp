// sagesan_metrics: reads one JSON object with lists of cases from standard input and prints what
// the functions of src/evaluate make of them: the parity tests' window into the statistics.
#include <iostream>
#include <nlohmann/json.hpp>

#include "evaluate/porter_stemmer.h"
#include "sagesan/evaluate/rouge.h"
#include "sagesan/evaluate/statistics.h"

int main() {
  using sagesan::RougeScore;
  const nlohmann::json cases = nlohmann::json::parse(std::cin);
  nlohmann::json results;
  using Numbers = std::vector<double>;
  for (const auto& pair : cases["kolmogorov_smirnov"])
    results["kolmogorov_smirnov"].push_back(sagesan::kolmogorov_smirnov_p_value(pair[0], pair[1]));
  for (const auto& pair : cases["roc_auc"])
    results["roc_auc"].push_back(sagesan::roc_auc(pair[0].get<Numbers>(), pair[1].get<Numbers>()));
  for (const auto& values : cases["harmonic_mean"])
    results["harmonic_mean"].push_back(sagesan::harmonic_mean(values.get<Numbers>()));
  for (const auto& word : cases["stem"])
    results["stem"].push_back(sagesan::porter_stem(word.get<std::string>()));
  for (const auto& pair : cases["rouge"]) {
    const auto target = pair[0].get<std::string>();
    const auto prediction = pair[1].get<std::string>();
    nlohmann::json row;
    for (const RougeScore& score :
         {sagesan::rouge_1(target, prediction), sagesan::rouge_l(target, prediction)})
      row.push_back({score.precision, score.recall, score.f1});
    results["rouge"].push_back(row);
  }
  std::cout << results.dump() << "\n";
}
