#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "sagesan/support/progress.h"

namespace sagesan::demo {

/// Where `make_pairs` has put what.
struct MadePairs {
  std::filesystem::path base;
  /// Method ("ga", "graddiff", "npo") and directory.
  std::vector<std::pair<std::string, std::filesystem::path>> unlearned;
  /// Records of {"question", "answer"}. No method and no moment may see those of `heldout`.
  std::filesystem::path forget, retain, heldout;
};

/// Makes a base model of a tiny Llama that knows facts about made-up authors, models that have
/// unlearned some of them, and the files of records, in `directory`, which is made where it is
/// missing: ordinary Hugging Face directories in float32. How the models are trained stands in
/// training.h; the damage to what should be kept is whatever the methods do.
///
/// `scale` is 1 for the usual model of 0.16 M parameters; 2 and 4 have about 0.9 and 6.6 M, and
/// take some 4 and 25 times as long.
///
/// With `finetune_seconds` there are METHOD_steps.json and METHOD_finetuned.json, too, for
/// docs/evidence.md: the loss of every record of forget and heldout as a list of
/// {"forget": [...], "heldout": [...]}, of the model before every other step and at the end, and
/// of the unlearned one as it is trained on retain for so many seconds of processor time.
///
/// The same seed gives the same bytes on one machine. All of it runs on one thread, because such
/// small products only lose by being shared out; `set_threads` holds again at the end.
/// `progress` is called at every training step; what was written before it threw stays there.
/// Throws `IoError` where a file is there already or cannot be written.
MadePairs make_pairs(const std::filesystem::path& directory, uint64_t seed,
                     const Progress& progress, int64_t scale = 1, double finetune_seconds = 0);

}  // namespace sagesan::demo
