#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "sagesan/evaluate/summary.h"
#include "sagesan/report/sanitize_report.h"
#include "sagesan/support/progress.h"
#include "sagesan/text/chat_template.h"

namespace sagesan {

struct EvaluateOptions {
  std::filesystem::path model;
  std::vector<std::pair<std::string, std::filesystem::path>> data;  ///< name, file
  Rendering rendering;
  int64_t max_length = 512;
  std::string device = "auto";
};

struct EvaluateResult {
  struct DataSet {
    std::string name;
    RetainFileReport file;
    LikelihoodSummary summary;
  };
  std::vector<DataSet> data_sets;
  std::string retain_template;  ///< identity of the one that rendered them; empty: none

  Json to_json() const;
};

/// Scores every data set in one pass over the checkpoint: over the answer tokens where a record has
/// a question and an answer (or a prompt and a completion), over the whole text otherwise.
EvaluateResult evaluate(const EvaluateOptions& options, const Progress& progress);

}  // namespace sagesan
