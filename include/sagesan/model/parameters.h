#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "sagesan/checkpoint/checkpoint.h"
#include "sagesan/model/configuration.h"
#include "sagesan/model/sites.h"

namespace sagesan {

enum class ParameterKind { kLinear, kBias, kNorm, kEmbedding, kTiedEmbedding };

/// "linear", "tied_embedding": the name in reports.
std::string_view parameter_kind_name(ParameterKind kind);

/// One tensor of the model: what it is and where its input is observed.
struct Parameter {
  ParameterKind kind;
  Site site;  ///< its input; a tied embedding's other input is the head's
  std::vector<int64_t> shape;
};

/// The tensors' names in the checkpoint, as the decoder asks for them.
struct LayerNames {
  std::string attention_norm, query, key, value, output, mlp_norm, gate, up, down;
};
inline constexpr const char* kEmbeddingName = "model.embed_tokens.weight";
inline constexpr const char* kFinalNormName = "model.norm.weight";
inline constexpr const char* kHeadName = "lm_head.weight";
/// Modules' names without ".weight" and ".bias".
LayerNames layer_names(int64_t layer);

/// Every tensor that a model of this configuration consists of, by name.
std::map<std::string, Parameter> model_parameters(const ModelConfiguration& model);

/// Every site of the model and the number of its channels (rows of the vocabulary for the
/// embedding).
std::map<Site, int64_t> model_sites(const ModelConfiguration& model);

/// The head that some files store although it is tied to the embedding; empty where there is none.
StoredTensor find_stored_tied_head(const ModelConfiguration& model, const Checkpoint& checkpoint);

/// Throws `InputError` for the first tensor that the configuration asks for and the checkpoint
/// lacks, or holds in another shape or in a dtype that cannot be computed with.
void check_parameters(const ModelConfiguration& model, const Checkpoint& checkpoint);

}  // namespace sagesan
