#include "sagesan/jobs/evaluate.h"

#include <fmt/format.h>

#include <algorithm>

#include "generated_answers.h"
#include "sagesan/evaluate/likelihood.h"
#include "sagesan/evaluate/model_utility.h"
#include "sagesan/evaluate/reference.h"
#include "sagesan/evaluate/statistics.h"
#include "sagesan/jobs/device.h"
#include "sagesan/jobs/preflight.h"
#include "sagesan/jobs/token_data.h"

namespace sagesan {
namespace {

struct OpenModel {
  Checkpoint checkpoint;
  ModelConfiguration configuration;
};

/// The texts of all data sets, one after the other.
struct Texts {
  TokenBatch batch;
  std::vector<int64_t> first_scored;
  std::vector<AnswerKind> answers;
  std::vector<size_t> ends;  ///< of each data set

  void add(const TokenData& data) {
    batch.add(data.batch);
    first_scored.insert(first_scored.end(), data.first_scored.begin(), data.first_scored.end());
    answers.insert(answers.end(), data.answers.begin(), data.answers.end());
    ends.push_back(answers.size());
  }
};

void open_models(const EvaluateOptions& options, Preflight& preflight,
                 std::vector<OpenModel>& models) {
  for (const auto& [name, path] : options.models) {
    preflight.check([&, &directory = path] {
      OpenModel model{.checkpoint = Checkpoint::open_model(directory),
                      .configuration = read_configuration(directory)};
      match_parameters(model.configuration, model.checkpoint);
      models.push_back(std::move(model));
    });
  }
}

/// What is common to all: ids must be in every vocabulary, texts fit every model.
ModelConfiguration narrowest(const std::vector<OpenModel>& models) {
  ModelConfiguration result = models.front().configuration;
  for (const OpenModel& model : models) {
    result.vocabulary = std::min(result.vocabulary, model.configuration.vocabulary);
    const int64_t positions = model.configuration.positions;
    if (positions > 0)
      result.positions = result.positions > 0 ? std::min(result.positions, positions) : positions;
  }
  return result;
}

/// A record's texts follow one another, its own answer first.
std::vector<RecordScore> gather(const std::vector<TextScore>& scores,
                                const std::vector<AnswerKind>& answers,
                                const GeneratedAnswers& generated, size_t start, size_t end) {
  std::vector<RecordScore> records;
  for (size_t i = start; i < end; ++i) {
    if (answers[i] == AnswerKind::kOwn) {
      records.push_back({.answer = scores[i]});
      if (const auto found = generated.find(i); found != generated.end())
        records.back().generated = found->second;
    } else if (answers[i] == AnswerKind::kParaphrased) {
      records.back().paraphrased = scores[i];
    } else {
      records.back().perturbed.push_back(scores[i]);
    }
  }
  return records;
}

/// Min-K% of all data sets with such names, one after the other.
std::vector<double> membership_scores(const EvaluateOptions& options,
                                      const EvaluateResult::Model& model,
                                      const std::set<std::string>& names) {
  std::vector<double> scores;
  for (size_t i = 0; i < options.data.size(); ++i) {
    if (!names.contains(options.data[i].first)) continue;
    for (const auto& [index, score] : min_k(model.scores[i], options.min_k).values)
      scores.push_back(score);
  }
  return scores;
}

/// Truth ratios of the forget sets' records.
std::vector<double> forget_truth_ratios(const EvaluateOptions& options,
                                        const EvaluateResult::Model& model) {
  std::vector<double> ratios;
  for (size_t i = 0; i < options.data.size(); ++i) {
    if (!options.forget.contains(options.data[i].first)) continue;
    for (const RecordScore& record : model.scores[i]) {
      if (const auto ratio = record.truth_ratio()) ratios.push_back(*ratio);
    }
  }
  return ratios;
}

/// The figures that look at several data sets.
void add_model_figures(const EvaluateOptions& options, const Reference& reference,
                       EvaluateResult::Model& model) {
  const std::vector<double> seen = membership_scores(options, model, options.forget);
  const std::vector<double> unseen = membership_scores(options, model, options.holdout);
  if (!seen.empty() && !unseen.empty()) {
    model.membership = roc_auc(unseen, seen);
    model.privacy_leak = privacy_leak(*model.membership, reference.membership.value_or(0.5));
  }
  const std::vector<double> ratios = forget_truth_ratios(options, model);
  if (!ratios.empty() && !reference.truth_ratios.empty())
    model.forget_quality = kolmogorov_smirnov_p_value(ratios, reference.truth_ratios);
  if (!options.utility) return;
  const auto scores = [&](const std::string& name) -> const std::vector<RecordScore>& {
    size_t i = 0;
    while (options.data[i].first != name) ++i;
    return model.scores[i];
  };
  model.model_utility =
      model_utility(scores(options.utility->retain), scores(options.utility->real_authors),
                    scores(options.utility->world_facts));
}

/// Said before the models run, which takes long.
void check_utility_data(const EvaluateOptions& options, const std::string& name,
                        const std::filesystem::path& file, const TokenData& data) {
  if (!options.utility) return;
  const EvaluateOptions::Utility& utility = *options.utility;
  if (name != utility.retain && name != utility.real_authors && name != utility.world_facts) return;
  if (std::find(data.answers.begin(), data.answers.end(), AnswerKind::kPerturbed) ==
      data.answers.end()) {
    throw InputError(file.string(),
                     "no record has wrong answers ('perturbed_answer'), which the model utility "
                     "compares with; take TOFU's perturbed sets");
  }
}

}  // namespace

EvaluateResult evaluate(const EvaluateOptions& options, const Progress& progress,
                        const std::function<void(const std::string&)>& notice) {
  Preflight preflight;
  at::Device device = at::kCPU;
  std::vector<OpenModel> models;
  TextSource source;
  preflight.check([&] { device = parse_device(options.device); });
  open_models(options, preflight, models);
  Reference reference;
  preflight.check([&] {
    if (options.reference) reference = read_reference(*options.reference);
  });
  const bool known = models.size() == options.models.size();
  const bool text = preflight.check(
      [&] { source = open_text_source(options.rendering, options.models.front().second); });
  source.records.other_answers = true;

  EvaluateResult result;
  if (source.records.chat) result.retain_template = source.records.chat->identity();
  Texts all;
  for (const auto& [name, file] : options.data) {
    if (!text || !known) break;
    preflight.check([&, &set_name = name, &path = file] {
      TokenData data =
          read_token_data({path}, source, {.max_length = options.max_length}, narrowest(models));
      check_utility_data(options, set_name, path, data);
      give_notices(data.files, set_name, notice);
      check_scored(data, path.string(), notice);
      result.data_sets.push_back({.name = set_name,
                                  .file = std::move(data.files.front()),
                                  .forget = options.forget.contains(set_name)});
      all.add(data);
    });
  }
  std::optional<AnswerGenerator> generator;
  if (options.generation && text && known) {
    preflight.check([&] {
      generator.emplace(*options.generation, options.models.front().second, source.tokenizer);
      if (result.data_sets.size() == options.data.size())
        generator->set_texts(all.batch, all.first_scored, all.answers, options.data);
    });
  }
  preflight.finish();

  for (size_t m = 0; m < models.size(); ++m) {
    const Progress own = progress && models.size() > 1
                             ? [&, m](std::string_view stage, double done, double total) {
                                 progress(fmt::format("{} of {}", stage, options.models[m].first),
                                          done, total);
                               }
                             : progress;
    const std::vector<TextScore> scores = score_texts(models[m].configuration, models[m].checkpoint,
                                                      all.batch, all.first_scored, device, own);
    GeneratedAnswers generated;
    if (generator)
      generated = generator->run(models[m].configuration, models[m].checkpoint, device, own);
    EvaluateResult::Model model{.name = options.models[m].first};
    size_t start = 0;
    for (size_t i = 0; i < all.ends.size(); ++i) {
      model.scores.push_back(gather(scores, all.answers, generated, start, all.ends[i]));
      start = all.ends[i];
    }
    add_model_figures(options, reference, model);
    result.models.push_back(std::move(model));
  }
  return result;
}

}  // namespace sagesan
