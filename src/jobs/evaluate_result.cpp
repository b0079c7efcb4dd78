#include <nlohmann/json.hpp>
#include <optional>

#include "sagesan/evaluate/model_utility.h"
#include "sagesan/jobs/evaluate.h"

namespace sagesan {
namespace {

Json figure_json(const std::optional<Figure>& figure) {
  if (!figure) return nullptr;
  Json values = Json::object();
  for (const auto& [index, value] : figure->values)
    values[std::to_string(index)] = {{"score", value}};
  return {{"agg_value", figure->aggregate}, {"value_by_index", values}};
}

/// The generated answers stand beside the first of the three figures.
void add_rouge(const std::vector<RecordScore>& records, Json& json) {
  const auto recall = rouge(records, &GeneratedAnswer::rouge_l_recall);
  if (!recall) return;
  Json values = Json::object();
  for (size_t i = 0; i < records.size(); ++i) {
    const auto& answer = records[i].generated;
    if (!answer) continue;
    values[std::to_string(i)] = {
        {"rouge1_recall", answer->rouge_1_recall}, {"rougeL_f1", answer->rouge_l_f1},
        {"rougeL_recall", answer->rouge_l_recall}, {"input", answer->prompt},
        {"ground_truth", answer->expected},        {"generation", answer->text}};
  }
  json["rougeL_recall"] = {{"agg_value", recall->aggregate}, {"value_by_index", values}};
  json["rougeL_f1"]["agg_value"] = rouge(records, &GeneratedAnswer::rouge_l_f1)->aggregate;
  json["rouge1_recall"]["agg_value"] = rouge(records, &GeneratedAnswer::rouge_1_recall)->aggregate;
}

/// `prob` and `avg_loss` of texts, by their records' indices; of several answers, lists.
template <typename Texts>
Json probabilities(const std::vector<RecordScore>& records, const Texts& texts) {
  Json values = Json::object();
  double sum = 0;
  for (size_t i = 0; i < records.size(); ++i) {
    const std::vector<const TextScore*> here = texts(records[i]);
    if (here.empty()) continue;
    Json losses = Json::array();
    Json shares = Json::array();
    double share = 0;
    for (const TextScore* text : here) {
      losses.push_back(text->loss());
      shares.push_back(text->probability());
      share += text->probability();
    }
    sum += share / static_cast<double>(here.size());
    const bool one = here.size() == 1;
    values[std::to_string(i)] = {{"prob", one ? shares[0] : shares},
                                 {"avg_loss", one ? losses[0] : losses}};
  }
  if (values.empty()) return nullptr;
  return {{"agg_value", sum / static_cast<double>(values.size())}, {"value_by_index", values}};
}

using TextList = std::vector<const TextScore*>;

TextList own(const RecordScore& record) {
  return record.answer.empty() ? TextList{} : TextList{&record.answer};
}
TextList paraphrased(const RecordScore& record) {
  return record.paraphrased && !record.paraphrased->empty() ? TextList{&*record.paraphrased}
                                                            : TextList{};
}
TextList perturbed(const RecordScore& record) {
  TextList list;
  for (const TextScore& text : record.perturbed) {
    if (!text.empty()) list.push_back(&text);
  }
  return list;
}

Json data_json(const EvaluateResult::DataSet& set, const LikelihoodSummary& summary,
               const std::vector<RecordScore>& records) {
  Json json = {{"file", set.file.name},
               {"xxh3", set.file.hash},
               {"records", summary.records},
               {"truncated", set.file.truncated},
               {"tokens", summary.tokens},
               {"mean_negative_log_likelihood", summary.mean_negative_log_likelihood},
               {"perplexity", summary.perplexity},
               {"mean_answer_probability", summary.mean_answer_probability},
               {"forget", set.forget},
               {"probability", probabilities(records, own)},
               {"paraphrased_probability", probabilities(records, paraphrased)},
               {"perturbed_probability", probabilities(records, perturbed)},
               {"truth_ratio", figure_json(truth_ratio(records, set.forget))},
               {"exact_memorization", figure_json(exact_memorization(records))},
               {"extraction_strength", figure_json(extraction_strength(records))}};
  Json options = nullptr;
  if (const auto figure = option_probability(records)) {
    options = {{"agg_value", figure->aggregate}, {"value_by_index", Json::object()}};
    for (const auto& [index, value] : figure->values)
      options["value_by_index"][std::to_string(index)]["prob"] = value;
  }
  json["probability_w_options"] = std::move(options);
  add_rouge(records, json);
  return json;
}

}  // namespace

LikelihoodSummary EvaluateResult::Model::summary(size_t data_set) const {
  std::vector<TextScore> answers;
  for (const RecordScore& record : scores[data_set]) answers.push_back(record.answer);
  return summarize(answers);
}

Json EvaluateResult::to_json() const {
  const auto of_model = [&](const Model& model) {
    Json json = {{"data", Json::object()}};
    for (size_t i = 0; i < data_sets.size(); ++i) {
      json["data"][data_sets[i].name] = data_json(data_sets[i], model.summary(i), model.scores[i]);
    }
    for (const auto& [key, value] : {std::pair{"mia_min_k", model.membership},
                                     {"privleak", model.privacy_leak},
                                     {"forget_quality", model.forget_quality},
                                     {"model_utility", model.model_utility}}) {
      if (value) json[key] = {{"agg_value", *value}};
    }
    return json;
  };
  Json json = Json::object();
  if (models.size() == 1) {
    json = of_model(models.front());
  } else {
    for (const Model& model : models) json["models"][model.name] = of_model(model);
  }
  if (!retain_template.empty()) json["retain_template"] = retain_template;
  return json;
}

}  // namespace sagesan
