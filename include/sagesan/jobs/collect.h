#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "sagesan/support/progress.h"
#include "sagesan/text/chat_template.h"

namespace sagesan {

struct CollectOptions {
  std::filesystem::path base, out;
  std::vector<std::filesystem::path> retain;
  Rendering rendering;
  int64_t max_length = 512;
  int64_t max_tokens = 0;  ///< 0: no limit
  double token_cap = 0;    ///< 0: none
  std::string device = "auto";
  bool overwrite = false;
};

/// What a moments file holds.
struct MomentsSummary {
  int64_t sites = 0;
  int64_t tokens = 0;
};

/// Runs the model over the texts and writes the moments of all its sites, so that many unlearned
/// models of one base can be sanitized without running it again. Throws `Error`; an existing file
/// is then as it was.
MomentsSummary collect(const CollectOptions& options, const Progress& progress,
                       const std::function<void(const std::string&)>& notice);

struct MergeOptions {
  std::vector<std::filesystem::path> files;  ///< at least two
  std::filesystem::path out;
  bool overwrite = false;
};

/// Adds up moments files site by site. Throws `InputError` where they are not of one model,
/// tokenizer and way of reading texts.
MomentsSummary merge(const MergeOptions& options, const Progress& progress,
                     const std::function<void(const std::string&)>& notice);

}  // namespace sagesan
