#include "sagesan/model/sites.h"

#include <fmt/format.h>

#include "sagesan/support/error.h"

namespace sagesan {
namespace {

std::string_view kind_name(SiteKind kind) {
  switch (kind) {
    case SiteKind::kEmbedding:
      return "embedding";
    case SiteKind::kPositionEmbedding:
      return "position_embedding";
    case SiteKind::kOtherEmbedding:
    case SiteKind::kOtherNorm:
    case SiteKind::kOtherInput:
      return "";  // named by their modules
    case SiteKind::kAttentionNorm:
      return "attention_norm";
    case SiteKind::kAttentionInput:
      return "attention_input";
    case SiteKind::kQueryNorm:
      return "query_norm";
    case SiteKind::kKeyNorm:
      return "key_norm";
    case SiteKind::kAttentionOutput:
      return "attention_output";
    case SiteKind::kAttentionOutputNorm:
      return "attention_output_norm";
    case SiteKind::kMlpNorm:
      return "mlp_norm";
    case SiteKind::kMlpInput:
      return "mlp_input";
    case SiteKind::kExpertInput:
      return "input";
    case SiteKind::kExpertHidden:
      return "hidden";
    case SiteKind::kSharedHidden:
      return "shared_hidden";
    case SiteKind::kMlpHidden:
      return "mlp_hidden";
    case SiteKind::kMlpOutputNorm:
      return "mlp_output_norm";
    case SiteKind::kFinalNorm:
      return "final_norm";
    case SiteKind::kHeadInput:
      return "head_input";
  }
  SAGESAN_ASSERT(false);
  return "";
}

}  // namespace

std::string Site::name() const {
  if (!module.empty()) return module;
  if (is_embedding() || kind == SiteKind::kFinalNorm || kind == SiteKind::kHeadInput)
    return std::string(kind_name(kind));
  if (is_expert()) return fmt::format("layers.{}.experts.{}.{}", layer, expert, kind_name(kind));
  return fmt::format("layers.{}.{}", layer, kind_name(kind));
}

bool Site::is_norm() const {
  switch (kind) {
    case SiteKind::kAttentionNorm:
    case SiteKind::kQueryNorm:
    case SiteKind::kKeyNorm:
    case SiteKind::kAttentionOutputNorm:
    case SiteKind::kMlpNorm:
    case SiteKind::kMlpOutputNorm:
    case SiteKind::kFinalNorm:
    case SiteKind::kOtherNorm:
      return true;
    default:
      return false;
  }
}

}  // namespace sagesan
