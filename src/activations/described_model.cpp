#include "sagesan/activations/described_model.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "sagesan/support/error.h"

namespace sagesan {
namespace {

constexpr ParameterKind kKinds[] = {ParameterKind::kLinear, ParameterKind::kBias,
                                    ParameterKind::kNorm, ParameterKind::kEmbedding,
                                    ParameterKind::kTiedEmbedding};

ParameterKind read_kind(const JsonObject& entry) {
  const std::string name = entry.string("kind");
  for (const ParameterKind kind : kKinds) {
    if (name == parameter_kind_name(kind)) return kind;
  }
  entry.fail("kind", quote(name) + " is no kind of parameter");
}

Site read_site(const JsonObject& entry, std::string_view key, SiteKind kind, int64_t channels,
               const MomentsHeader& moments) {
  const std::string name = entry.string(key);
  const auto found = moments.sites().find(name);
  Site site(kind, name);
  if (found == moments.sites().end() || found->second.diagonal != site.is_diagonal() ||
      found->second.channels != channels) {
    entry.fail(key, fmt::format("the file has no moment of {} channels of site {} that would do",
                                channels, quote(name)));
  }
  return site;
}

Parameter read_parameter(const JsonObject& entry, const StoredTensor& stored,
                         const MomentsHeader& moments) {
  Parameter parameter{.kind = read_kind(entry),
                      .shape = stored.info->shape,
                      .transposed = entry.boolean_or("transposed", false)};
  const ParameterKind kind = parameter.kind;
  if (parameter.transposed && kind != ParameterKind::kLinear)
    entry.fail("transposed", "is for linear modules alone");
  const bool matrix = kind != ParameterKind::kBias && kind != ParameterKind::kNorm;
  if (parameter.shape.size() != (matrix ? 2 : 1) || !is_computable(stored.info->dtype)) {
    throw InputError(stored.where(),
                     fmt::format("{} {} cannot be a {}", dtype_name(stored.info->dtype),
                                 shape_text(parameter.shape), parameter_kind_name(kind)));
  }
  const int64_t rows = parameter.shape.front();
  const int64_t columns = parameter.shape.back();
  if (kind == ParameterKind::kLinear) {
    parameter.site = read_site(entry, "site", SiteKind::kOtherInput,
                               parameter.transposed ? rows : columns, moments);
  } else if (kind == ParameterKind::kNorm) {
    parameter.site = read_site(entry, "site", SiteKind::kOtherNorm, rows, moments);
  } else if (kind != ParameterKind::kBias) {
    parameter.site = read_site(entry, "site", SiteKind::kOtherEmbedding, rows, moments);
  }
  if (kind == ParameterKind::kTiedEmbedding)
    parameter.head = read_site(entry, "head", SiteKind::kOtherInput, columns, moments);
  return parameter;
}

}  // namespace

ModelMap read_described_model(const MomentsHeader& moments, const Checkpoint& base) {
  const std::string where = moments.file().path().string() + ": __metadata__ 'model'";
  const Json json = parse_json(moments.origin().model, where);
  const JsonObject object(json, where);
  ModelMap map{.family = "described", .architecture = object.string("architecture")};
  const Json& parameters = object.require("parameters");
  const JsonObject checked(parameters, where + ": 'parameters'");
  for (const auto& [name, value] : parameters.items()) {
    const JsonObject entry(value, checked.where() + ": " + quote(name));
    const StoredTensor stored = base.find(name);
    if (!stored) {
      throw InputError(base.path().string(),
                       fmt::format("tensor {} is missing, which {} describes", quote(name),
                                   printable(moments.file().path().string())));
    }
    map.parameters[name] = read_parameter(entry, stored, moments);
    if (map.parameters[name].kind != ParameterKind::kTiedEmbedding) continue;
    if (!map.tied_embedding.empty()) entry.fail("kind", "a second tied embedding");
    map.tied_embedding = name;
    map.tied_head = object.string("tied_head");
  }
  if (map.parameters.contains(map.tied_head))
    object.fail("tied_head", "is one of the parameters: it must be the head that is tied to them");
  return map;
}

}  // namespace sagesan
