#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "sagesan/jobs/sanitize.h"

namespace sagesan {

/// An output that is there already.
struct FinishedOutput {
  Json report;
  /// What says that the job would not give this output ("it was made of another base"); empty where
  /// nothing does.
  std::string difference;
};

/// Tells which outputs need not be made again. Reads each checkpoint and text file once.
class FinishedOutputs {
 public:
  /// `progress` must outlive this.
  explicit FinishedOutputs(const Progress& progress) : progress_(progress) {}

  /// Compares what `options.out` says of itself with what the job would say: version, options,
  /// identities of the checkpoints, texts and how many tokens they are. Nothing where it holds no
  /// report. Throws `Error` for inputs that cannot be read.
  std::optional<FinishedOutput> find(const SanitizeOptions& options);
  /// Of a stored checkpoint.
  const std::string& identity(const std::filesystem::path& checkpoint);

 private:
  /// What a report says of the texts.
  struct Texts {
    std::string template_identity;
    std::vector<RetainFileReport> files;
  };
  const Texts& read_texts(const SanitizeOptions& options);
  std::string unlearned_identity(const SanitizeOptions& options);
  std::string compare(const Json& report, const SanitizeOptions& options);

  const Progress& progress_;
  std::map<std::filesystem::path, std::string> identities_;
  std::map<std::string, Texts> texts_;
};

}  // namespace sagesan
