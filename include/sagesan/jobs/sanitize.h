#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "sagesan/checkpoint/output_layout.h"
#include "sagesan/report/sanitize_report.h"
#include "sagesan/sanitize/method.h"
#include "sagesan/support/progress.h"
#include "sagesan/text/chat_template.h"

namespace sagesan {

struct SanitizeOptions {
  std::filesystem::path base, unlearned;
  std::filesystem::path out;                    ///< empty in a sweep that writes nothing
  std::vector<std::filesystem::path> adapters;  ///< summed with `unlearned`, itself an adapter
  std::vector<std::filesystem::path> retain;
  std::filesystem::path moments;  ///< collected ones instead of `retain`; empty: none
  Method method = Method::kSage;
  /// Finite, at least 0; not for nullspace, rollback. The command line has `default_setting`.
  double strength = 1;
  std::optional<double> target_bias;  ///< kept share of each bias, in (0, 1], instead of `strength`
  double carrier_gain = 1;            ///< above 0; not for rollback
  double energy = 0.95;               ///< in (0, 1]; not for ridge, rollback
  double share = 0.1;                 ///< in (0, 1]; rollback alone takes notice of it
  /// Texts that were to be forgotten: what forget-aware solving is anchored by, and a search.
  std::vector<std::filesystem::path> forget;
  double anchor_floor = 1;  ///< above 0: `g` of `ForgetAnchor`
  OtherPolicy other = OtherPolicy::kShrink;
  /// Whether method, strength and gain are found by a search on the retain and forget texts; then
  /// those above count for nothing.
  bool automatic = false;
  double keep_forgetting = 0.95;  ///< what a search must keep of the rise in forget loss
  std::vector<std::string> include, exclude;  ///< expressions on tensor names
  Rendering rendering;
  int64_t max_length = 512;
  int64_t max_tokens = 0;
  bool unlearned_activations = false;  ///< run the unlearned model instead of the base
  double token_cap = 0;                ///< 0: none
  bool rounding_feedback = false;      ///< of linear modules; else to the nearest
  OutputOptions output;
  std::string device = "auto";
  uint64_t max_memory = 0;       ///< most resident bytes; 0: no limit
  std::filesystem::path report;  ///< a second copy of the report; empty: none
  std::filesystem::path html;    ///< a page of it; empty: none
  bool overwrite = false;
  bool dry_run = false;
};

struct SanitizeResult {
  SanitizeReport report;
  uint64_t output_bytes = 0;       ///< of the weights
  uint64_t memory_bytes = 0;       ///< that the run takes at its worst place, by a model of it
  uint64_t most_memory_bytes = 0;  ///< no run takes more
  bool spills = false;             ///< whether hidden states go to a file for want of it
};

/// The main job: checks everything, compares the pair, runs the base model layer by layer over the
/// retain texts, solves each changed tensor and writes the sanitized checkpoint. With `dry_run` it
/// stops after the plan: the report then has the sites and tensors without figures. `notice` gets
/// lines for the user. Throws `Error`; nothing is left behind then.
SanitizeResult sanitize(const SanitizeOptions& options, const Progress& progress,
                        const std::function<void(const std::string&)>& notice);

}  // namespace sagesan
