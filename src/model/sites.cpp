#include "sagesan/model/sites.h"

#include <fmt/format.h>

#include "sagesan/support/error.h"

namespace sagesan {

std::string Site::name() const {
  switch (kind) {
    case SiteKind::kEmbedding:
      return "embedding";
    case SiteKind::kAttentionNorm:
      return fmt::format("layers.{}.attention_norm", layer);
    case SiteKind::kAttentionInput:
      return fmt::format("layers.{}.attention_input", layer);
    case SiteKind::kAttentionOutput:
      return fmt::format("layers.{}.attention_output", layer);
    case SiteKind::kMlpNorm:
      return fmt::format("layers.{}.mlp_norm", layer);
    case SiteKind::kMlpInput:
      return fmt::format("layers.{}.mlp_input", layer);
    case SiteKind::kMlpHidden:
      return fmt::format("layers.{}.mlp_hidden", layer);
    case SiteKind::kFinalNorm:
      return "final_norm";
    case SiteKind::kHeadInput:
      return "head_input";
  }
  SAGESAN_ASSERT(false);
  return "";
}

bool Site::is_norm() const {
  return kind == SiteKind::kAttentionNorm || kind == SiteKind::kMlpNorm ||
         kind == SiteKind::kFinalNorm;
}

}  // namespace sagesan
