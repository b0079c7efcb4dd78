#include "expert_name.h"

#include <array>
#include <charconv>
#include <string_view>
#include <tuple>

#include "sagesan/checkpoint/canonical_name.h"

namespace sagesan {
namespace {

constexpr std::string_view kExperts = ".experts.";

void replace(std::string& text, std::string_view from, std::string_view to) {
  if (const size_t at = text.find(from); at != std::string::npos) text.replace(at, from.size(), to);
}

}  // namespace

std::string canonical_module(const std::string& name) {
  std::string result(canonical_name(name));
  if (result.find(".block_sparse_moe.") == std::string::npos) return result;
  replace(result, ".block_sparse_moe.", ".mlp.");
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
  if (error != std::errc() || name.expert < 0) return std::nullopt;
  const std::string_view module = rest.substr(static_cast<size_t>(end - rest.data()));
  constexpr std::array<std::tuple<std::string_view, std::string_view, int64_t, int64_t>, 3> kParts =
      {{{".gate_proj.weight", "gate_up_proj", 0, 2},
        {".up_proj.weight", "gate_up_proj", 1, 2},
        {".down_proj.weight", "down_proj", 0, 1}}};
  for (const auto& [suffix, fused, part, parts] : kParts) {
    if (module != suffix) continue;
    name.fused = canonical.substr(0, at + kExperts.size());
    name.fused += fused;
    name.part = part;
    name.parts = parts;
    return name;
  }
  return std::nullopt;
}

}  // namespace sagesan
