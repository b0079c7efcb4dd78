#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <utility>

namespace sagesan {

/// Where inputs are observed. Modules that read the same tensor share one site. The order is the
/// order of the computation inside a layer.
enum class SiteKind {
  kEmbedding,            ///< token counts
  kPositionEmbedding,    ///< position counts
  kOtherEmbedding,       ///< of a model that a moments file describes: row counts,
  kOtherNorm,            ///< what is normalized, before the gain,
  kOtherInput,           ///< or read by linear modules
  kAttentionNorm,        ///< normalized hidden states before the gain
  kAttentionInput,       ///< read by q, k and v
  kQueryNorm,            ///< normalized queries before the gain
  kKeyNorm,              ///< normalized keys before the gain
  kAttentionOutput,      ///< read by o
  kAttentionOutputNorm,  ///< normalized result of the attention before the gain
  kMlpNorm,              ///< normalized hidden states before the gain
  kMlpInput,             ///< read by gate and up, and by routers
  kExpertInput,          ///< read by one expert's gate and up
  kExpertHidden,         ///< read by one expert's down
  kSharedHidden,         ///< read by the shared expert's down
  kMlpHidden,            ///< read by down
  kMlpOutputNorm,        ///< normalized result of the MLP before the gain
  kFinalNorm,            ///< normalized hidden states before the gain
  kHeadInput,            ///< read by lm_head
};

/// A site of the model. `layer` is -1 for the embeddings and the number of layers for what comes
/// after the last one, so that sites compare in the order of the computation.
struct Site {
  int64_t layer = 0;
  SiteKind kind = SiteKind::kEmbedding;
  int64_t expert = 0;  ///< of the two expert kinds
  std::string module;  ///< of the three other kinds: the name

  Site() = default;
  Site(int64_t of_layer, SiteKind of_kind, int64_t of_expert = 0)
      : layer(of_layer), kind(of_kind), expert(of_expert) {}
  Site(SiteKind of_kind, std::string of_module) : kind(of_kind), module(std::move(of_module)) {}

  auto operator<=>(const Site&) const = default;
  /// "layers.3.mlp_input", "layers.3.experts.5.input", "head_input": the name in reports and
  /// moments files.
  std::string name() const;
  /// Whether what is observed there is normalized hidden states, of which only squares are summed.
  bool is_norm() const;
  bool is_embedding() const {
    return kind == SiteKind::kEmbedding || kind == SiteKind::kPositionEmbedding ||
           kind == SiteKind::kOtherEmbedding;
  }
  bool is_expert() const {
    return kind == SiteKind::kExpertInput || kind == SiteKind::kExpertHidden;
  }
  /// Whether the diagonal of its second moment is all that is needed: norms and embeddings.
  bool is_diagonal() const { return is_norm() || is_embedding(); }
};

}  // namespace sagesan
