#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sagesan/activations/moments.h"
#include "sagesan/checkpoint/safetensors.h"
#include "sagesan/checkpoint/safetensors_writer.h"
#include "sagesan/support/atomic_file.h"
#include "sagesan/text/retain_file.h"

namespace sagesan {

// A moments file is safetensors. For each site `<site>.count` (int64: tokens) and `<site>.weight`
// (float64: sum of the tokens' weights), and
// * where linear modules read: `<site>.sum` (float64 `[channels, channels]`) or, while tokens are
//   fewer than channels, `<site>.rows` (float32 `[tokens, channels]`); `<site>.mean_sum` (float64
//   `[channels]`) and `<site>.largest_token` (float64). An expert counts the tokens that it saw,
//   maybe none, and weighs them by the square of their routing weight;
// * norms and embeddings: `<site>.sum` (float64 `[channels]`), the diagonal.
// The header stands in the order of the names; `__metadata__` says where they come from.

/// Where the moments of a file come from. Two files merge where all but the retain files agree.
struct MomentsOrigin {
  std::string base_identity;       ///< of the checkpoint that ran
  std::string tokenizer_identity;  ///< xxh3-128 of its tokenizer.json; empty where it has none
  int64_t max_length = 0;
  double token_cap = 0;
  std::vector<std::string> retain_fields;
  std::string retain_template;  ///< identity of the chat template; empty: none
  bool split_long_texts = false;
  std::vector<RetainFileReport> retain_files;
  /// JSON that describes a model whose family is not known here (read_described_model); else empty.
  std::string model;

  /// What differs from `other` and forbids a merge ("the base model"); empty where nothing does.
  std::string difference(const MomentsOrigin& other) const;
  int64_t tokens() const;
};

/// What is known of one site's moment before it is collected.
struct MomentShape {
  int64_t channels = 0;
  bool diagonal = false;
  std::optional<int64_t> tokens;  ///< fewer than `channels`: rows are kept; absent: not known yet

  bool rows() const { return !diagonal && tokens && *tokens < channels; }
};

/// A moments file opened for reading; a site is read when it is asked for.
class MomentsFile {
 public:
  /// Checks the header. Throws `InputError` for what is no moments file of this version.
  explicit MomentsFile(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return file_.path(); }
  const MomentsOrigin& origin() const { return origin_; }
  /// By the site's name.
  const std::map<std::string, MomentShape>& sites() const { return sites_; }
  /// On `device`. Throws `InputError` naming file and site where the file has none, or one that is
  /// not finite or contradicts itself.
  SiteMoment read(const std::string& site, at::Device device) const;

 private:
  Tensor read_tensor(const std::string& name) const;

  SafetensorsFile file_;
  MomentsOrigin origin_;
  std::map<std::string, MomentShape> sites_;
  std::map<std::string, const TensorInfo*> tensors_;
};

/// Writes a moments file site by site, in any order; it appears complete or not at all.
class MomentsWriter {
 public:
  /// `sites` are those that will come.
  MomentsWriter(const std::filesystem::path& path, const MomentsOrigin& origin,
                const std::map<std::string, MomentShape>& sites);
  void write(const std::string& site, const SiteMoment& moment);
  void commit(bool overwrite);

 private:
  AtomicFile target_;
  SafetensorsWriter writer_;
};

}  // namespace sagesan
