#pragma once

#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "sagesan/evaluate/data_scores.h"
#include "sagesan/evaluate/generation_settings.h"
#include "sagesan/report/sanitize_report.h"
#include "sagesan/support/progress.h"
#include "sagesan/text/chat_template.h"

namespace sagesan {

struct EvaluateOptions {
  /// Name and checkpoint: models of one vocabulary. The first one's tokenizer and template are
  /// everyone's, so that all see the same tokens.
  std::vector<std::pair<std::string, std::filesystem::path>> models;
  std::vector<std::pair<std::string, std::filesystem::path>> data;  ///< name, file
  /// Names of data sets: those that were to be forgotten, and those that no model was trained on,
  /// against which membership of the former is told.
  std::set<std::string> forget, holdout;
  double min_k = 0.4;  ///< share of the tokens that Min-K% looks at: open-unlearning's
  /// Whether answers are generated behind the records' prompts; with the first model's settings.
  std::optional<GenerationLimits> generation;
  /// An evaluation of a model trained without the forget sets (`read_reference`).
  std::optional<std::filesystem::path> reference;
  /// Names of the data sets of which TOFU's model utility is made.
  struct Utility {
    std::string retain, real_authors, world_facts;
  };
  std::optional<Utility> utility;
  Rendering rendering;
  int64_t max_length = 512;
  std::string device = "auto";
};

struct EvaluateResult {
  struct DataSet {
    std::string name;
    RetainFileReport file;
    bool forget = false;
  };
  struct Model {
    std::string name;
    std::vector<std::vector<RecordScore>> scores;  ///< of each data set

    /// The figures of a data set's own answers.
    LikelihoodSummary summary(size_t data_set) const;
    /// The area under the ROC curve by which Min-K% tells the forget sets' texts from the holdout
    /// sets' (mia/utils.py `mia_auc`): 1 where the former are by far likelier, 0.5 by chance.
    std::optional<double> membership;
    /// `privacy_leak` of it, against 0.5 where there is no reference's.
    std::optional<double> privacy_leak;
    /// TOFU's forget quality: the p-value of the Kolmogorov-Smirnov test between the truth ratios
    /// of the forget sets and the reference's (privacy.py `ks_test`).
    std::optional<double> forget_quality;
    std::optional<double> model_utility;
  };
  std::vector<DataSet> data_sets;
  std::vector<Model> models;
  std::string retain_template;  ///< identity of the one that rendered them; empty: none

  /// With one model, that one's data sets; with several, `models` with those of each.
  Json to_json() const;
};

/// Scores every data set with every model, in one pass over each checkpoint: over the answer tokens
/// where a record has a question and an answer (or a prompt and a completion), over the whole text
/// otherwise. Throws `InputError` for what cannot be read, for a model of another vocabulary, for a
/// data set without a token to score, for a data set of the utility without wrong answers and,
/// where answers are to be generated, for data sets none of which has a prompt with an answer.
EvaluateResult evaluate(const EvaluateOptions& options, const Progress& progress,
                        const std::function<void(const std::string&)>& notice);

}  // namespace sagesan
