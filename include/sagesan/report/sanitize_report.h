#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sagesan/support/json.h"

namespace sagesan {

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
  std::optional<int64_t> rank;
  std::optional<double> energy_share;
  double strength = 0;
  std::optional<double> bias_before, bias_after;
  std::optional<double> head_bias_before, head_bias_after;  ///< tied embeddings: as the head
  double norm_before = 0, norm_after = 0;
};

/// One observed site.
struct SiteReport {
  int64_t tokens = 0;
  int64_t channels = 0;
  std::optional<int64_t> rank;
  std::optional<double> energy_share, leading_share, largest_token_share, residual;
};

struct RetainFileReport {
  std::string name;  ///< without its directory: reports go to other people
  std::string hash;  ///< xxh3-128 of the bytes
  int64_t records = 0;
  int64_t tokens = 0;
  int64_t truncated = 0;  ///< records cut at the maximum length
  int64_t left_out = 0;   ///< records beyond --max-tokens
};

/// The options that decide the result.
struct ReportOptions {
  std::string method = "sage";
  double strength = 1;
  double energy = 0.95;
  std::string other = "shrink";
  int64_t max_length = 512;
  std::vector<std::string> retain_fields;
};

/// The figures of the whole run.
struct SanitizeSummary {
  int64_t solved = 0, kept = 0, base = 0;  ///< tensors by treatment
  /// Means over the solved linear modules.
  std::optional<double> linear_mean_bias_before, linear_mean_bias_after;
  double update_norm_before = 0, update_norm_after = 0;  ///< of all updates together

  std::optional<double> linear_kept_bias() const;
  std::optional<double> kept_update_norm() const;
};

/// What `sagesan_report.json` says. The file holds nothing that differs between two equal runs: no
/// times, no paths outside the model.
struct SanitizeReport {
  ReportOptions options;
  std::string family, architecture;
  std::string base_identity, unlearned_identity;
  std::vector<RetainFileReport> retain_files;
  int64_t tokens = 0;
  int64_t tensors_total = 0;
  int64_t layers_run = 0;
  std::map<std::string, SiteReport> sites;
  std::vector<TensorReport> tensors;

  SanitizeSummary summary() const;
  Json to_json() const;
};

inline constexpr const char* kReportName = "sagesan_report.json";
inline constexpr int kReportSchemaVersion = 1;

}  // namespace sagesan
