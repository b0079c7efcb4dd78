#pragma once

#include <compare>
#include <cstdint>
#include <string>

namespace sagesan {

/// Where inputs are observed. Modules that read the same tensor share one site. The order is the
/// order of the computation inside a layer.
enum class SiteKind {
  kEmbedding,        ///< token counts
  kAttentionNorm,    ///< normalized hidden states before the gain
  kAttentionInput,   ///< read by q, k and v
  kAttentionOutput,  ///< read by o
  kMlpNorm,          ///< normalized hidden states before the gain
  kMlpInput,         ///< read by gate and up
  kMlpHidden,        ///< read by down
  kFinalNorm,        ///< normalized hidden states before the gain
  kHeadInput,        ///< read by lm_head
};

/// A site of the model. `layer` is -1 for the embedding and the number of layers for what comes
/// after the last one, so that sites compare in the order of the computation.
struct Site {
  int64_t layer = 0;
  SiteKind kind = SiteKind::kEmbedding;

  auto operator<=>(const Site&) const = default;
  /// "layers.3.mlp_input", "head_input": the name in reports and moments files.
  std::string name() const;
  /// Whether what is observed there is normalized hidden states, of which only squares are summed.
  bool is_norm() const;
  /// Whether the diagonal of its second moment is all that is needed: norms and the embedding.
  bool is_diagonal() const { return is_norm() || kind == SiteKind::kEmbedding; }
};

}  // namespace sagesan
