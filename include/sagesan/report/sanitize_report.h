#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sagesan/support/json.h"
#include "sagesan/text/retain_file.h"

namespace sagesan {

/// How much of a sanitized update D' is left after rounding Q: cos(Q(W0 + D') - Q(W0), D'), 1 where
/// rounding changes nothing, near 0 where what is left is noise. To 8 bits: one scale for each row
/// of the weight; to 4: one for each 64 numbers of a row; both symmetric, to the nearest.
struct Survival {
  double stored = 0, int8 = 0, int4 = 0;
};

/// One changed tensor. Norms are Frobenius norms of the update; the bias is the retention
/// activation bias trace(D S D^T) / trace(W0 S W0^T) and, for the other kinds, its counterpart with
/// the second moment of their input. `after` is of the stored (rounded) weights. Absent: not
/// observed, or W0 is 0.
struct TensorReport {
  std::string name;
  std::string kind;       ///< "linear", ..., or "unknown"
  std::string treatment;  ///< "solved", "kept", "base"
  std::string site;       ///< empty where none was observed
  std::string dtype;
  std::vector<int64_t> shape;
  std::optional<int64_t> expert;  ///< of a tensor of all experts; then `shape` is this one's
  std::optional<int64_t> rank;
  std::optional<double> energy_share;
  std::optional<double> strength;  ///< of solved ones; absent: infinite (projected out)
  std::optional<double> bias_before, bias_after;
  std::optional<double> head_bias_before, head_bias_after;  ///< tied embeddings: as the head
  /// With a target: whether the stored weights keep no more than it (1 % leeway).
  std::optional<bool> target_reached;
  /// Of solved ones: the bias that rounding to the stored dtype alone leaves, below which nothing
  /// can come.
  std::optional<double> rounding_bias;
  /// Of rollback: how many channels went back to the base, and of how many that could.
  std::optional<int64_t> channels_rolled_back, channels_eligible;
  double norm_before = 0, norm_after = 0;
  std::optional<Survival> survival;  ///< of solved linear modules
};

/// One observed site.
struct SiteReport {
  int64_t tokens = 0;
  int64_t channels = 0;
  std::optional<int64_t> rank;
  std::optional<double> energy_share, leading_share, largest_token_share, residual;
  /// i -> the i-th largest eigenvalue as a share of the trace, for some i; empty where not known.
  std::map<int64_t, double> eigenvalue_shares;
};

/// The options that decide the result.
struct ReportOptions {
  std::string method = "sage";
  std::optional<double> strength;  ///< absent where a target or the method decides
  std::optional<double> target_bias;
  double carrier_gain = 1;
  std::optional<double> energy = 0.95;    ///< absent where nothing is decomposed
  std::optional<double> share;            ///< of rollback alone
  std::optional<double> anchor_floor;     ///< of forget-aware solving alone
  std::optional<double> keep_forgetting;  ///< of a search, which found the others
  std::string other = "shrink";
  std::vector<std::string> include, exclude;
  std::string activations = "base";
  double token_cap = 0;
  int64_t max_length = 512;
  std::vector<std::string> retain_fields;
  std::string retain_template;  ///< identity of the chat template; empty: none
  bool split_long_texts = false;
  std::string out_format = "full";
  std::string dtype = "keep";
  std::string rounding = "nearest";
  uint64_t shard_bytes = 0;  ///< most of one weights file; 0: as the input has them
};

Json to_json(const ReportOptions& options);

/// The figures of the whole run.
struct SanitizeSummary {
  int64_t solved = 0, kept = 0, base = 0;  ///< tensors by treatment
  int64_t missed =
      0;  ///< solved ones that did not reach the target bias, as a whole or with a part
  /// Means over the solved linear modules.
  std::optional<double> linear_mean_bias_before, linear_mean_bias_after, linear_mean_rounding_bias;
  double update_norm_before = 0, update_norm_after = 0;  ///< of all updates together
  /// Mean over the solved linear modules, weighted by their squared norms.
  std::optional<Survival> survival;

  std::optional<double> linear_kept_bias() const;
  std::optional<double> kept_update_norm() const;
  /// Whether rounding makes up a tenth of the bias that is left, or more: another dtype would help.
  bool rounding_matters() const;
};

/// How a search came to the options: what it tried, in order.
struct SearchReport {
  struct Step {
    std::string candidate;
    double forget_loss = 0, retain_loss = 0;  ///< nats per token, on the half that judged
    double kept_forgetting = 0;  ///< share of the unlearned model's rise in forget loss
  };
  double keep_forgetting = 0;  ///< least share that was asked for
  std::string best;            ///< candidate that was taken
  std::vector<Step> steps;     ///< the first two are the base and the unlearned model
};

/// What `sagesan_report.json` says. The file holds nothing that differs between two equal runs: no
/// times, no paths outside the model.
struct SanitizeReport {
  ReportOptions options;
  std::string family, architecture;
  std::string base_identity, unlearned_identity;
  std::string base_configuration;    ///< hash of what says how it runs and reads texts
  std::vector<std::string> routers;  ///< an adapter's tensors that route it: left alone
  std::vector<RetainFileReport> retain_files;
  std::vector<RetainFileReport> forget_files;  ///< of forget-aware solving
  std::optional<SearchReport> search;          ///< with --auto
  int64_t tokens = 0;
  int64_t tensors_total = 0;      ///< that the unlearned checkpoint has
  int64_t tensors_from_base = 0;  ///< that it lacks
  int64_t layers_run = 0;
  std::map<std::string, SiteReport> sites;
  std::vector<TensorReport> tensors;

  /// Changed tensors: the parts of all experts' ones count once.
  int64_t changed() const;
  SanitizeSummary summary() const;
  Json to_json() const;
};

inline constexpr const char* kReportName = "sagesan_report.json";
inline constexpr int kReportSchemaVersion = 1;

}  // namespace sagesan
