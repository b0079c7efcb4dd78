#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sagesan/checkpoint/safetensors.h"
#include "sagesan/checkpoint/safetensors_writer.h"
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

/// What a moments file says it holds, without libtorch.
class MomentsHeader {
 public:
  /// Reads and checks the header alone. Throws `InputError` for what is no moments file of this
  /// version.
  explicit MomentsHeader(const std::filesystem::path& path);

  const SafetensorsFile& file() const { return file_; }
  const MomentsOrigin& origin() const { return origin_; }
  /// By the site's name.
  const std::map<std::string, MomentShape>& sites() const { return sites_; }
  /// A tensor that a site has.
  const TensorInfo& tensor(const std::string& name) const { return *tensors_.at(name); }

 private:
  SafetensorsFile file_;
  MomentsOrigin origin_;
  std::map<std::string, MomentShape> sites_;
  std::map<std::string, const TensorInfo*> tensors_;
};

/// Numbers of tokens that a file may claim: sums of them stay exact and far from overflow.
inline constexpr int64_t kMostTokens = int64_t{1} << 50;

/// The `__metadata__` of a moments file.
std::map<std::string, std::string> moments_metadata(const MomentsOrigin& origin);

/// The tensors of these sites, by name; both forms of a moment whose tokens are not known.
std::vector<TensorLayout> moments_layout(const std::map<std::string, MomentShape>& sites);

}  // namespace sagesan
