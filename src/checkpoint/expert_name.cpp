#include "expert_name.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "sagesan/checkpoint/canonical_name.h"

namespace sagesan {
namespace {

constexpr std::string_view kExperts = ".experts.";
/// More than any model has of a layer; numbers of a stranger's file are multiplied.
constexpr int64_t kMostExperts = int64_t{1} << 20;

void replace(std::string& text, std::string_view from, std::string_view to) {
  if (const size_t at = text.find(from); at != std::string::npos) text.replace(at, from.size(), to);
}

}  // namespace

const std::vector<FusedParameter>& fused_parameters() {
  static const std::vector<FusedParameter> fused = {{"gate_up_proj", {"gate_proj", "up_proj"}},
                                                    {"down_proj", {"down_proj"}}};
  return fused;
}

std::string canonical_module(const std::string& name) {
  std::string result(canonical_name(name));
  replace(result, ".block_sparse_moe.", ".mlp.");
  if (result.starts_with("embed_out.")) replace(result, "embed_out.", "lm_head.");  // GPT-NeoX
  if (result.find(kExperts) != std::string::npos) {
    replace(result, ".w1.", ".gate_proj.");
    replace(result, ".w3.", ".up_proj.");
    replace(result, ".w2.", ".down_proj.");
  }
  return result;
}

std::optional<ExpertName> parse_expert_name(const std::string& canonical) {
  const size_t at = canonical.find(kExperts);
  if (at == std::string::npos) return std::nullopt;
  const std::string_view rest = std::string_view(canonical).substr(at + kExperts.size());
  ExpertName name;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), name.expert);
  const bool zeros = rest.starts_with('0') && end != rest.data() + 1;
  if (error != std::errc() || name.expert < 0 || name.expert >= kMostExperts || zeros)
    return std::nullopt;
  const std::string_view module = rest.substr(static_cast<size_t>(end - rest.data()));
  for (const FusedParameter& fused : fused_parameters()) {
    const auto& parts = fused.modules;
    const auto found = std::find_if(parts.begin(), parts.end(), [&](std::string_view part) {
      return module == fmt::format(".{}.weight", part);
    });
    if (found == parts.end()) continue;
    name.fused = fmt::format("{}{}", canonical.substr(0, at + kExperts.size()), fused.name);
    name.part = found - parts.begin();
    name.parts = static_cast<int64_t>(parts.size());
    return name;
  }
  return std::nullopt;
}

}  // namespace sagesan
