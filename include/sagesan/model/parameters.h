#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sagesan/checkpoint/update_vector.h"
#include "sagesan/model/configuration.h"
#include "sagesan/model/sites.h"

namespace sagesan {

enum class ParameterKind { kLinear, kBias, kNorm, kEmbedding, kTiedEmbedding };

/// "linear", "tied_embedding": the name in reports.
std::string_view parameter_kind_name(ParameterKind kind);

/// How the rows of a stored tensor are the rows of a matrix `[out, in]`.
struct MatrixView {
  int64_t start = 0;        ///< first row
  int64_t rows = -1;        ///< their number; -1: all of the tensor
  bool transposed = false;  ///< the tensor is `[in, out]`
};

/// One tensor of the model: what it is and where its input is observed.
struct Parameter {
  ParameterKind kind;
  Site site;  ///< its input; of all experts' tensor, the first expert's
  std::vector<int64_t> shape;
  bool transposed = false;        ///< a linear module's weight stored `[in, out]`
  int64_t experts = 0;            ///< 0, or a tensor `[experts, out, in]` of linear modules
  std::optional<Site> head = {};  ///< a tied embedding's other input
  double offset = 0;              ///< what the model adds to the stored values: 1 to Gemma's gains

  /// The site that the rows of expert `index` read.
  Site expert_site(int64_t index) const { return {site.layer, site.kind, index}; }
  /// The whole tensor, or expert `index`'s matrix of it.
  MatrixView view(std::optional<int64_t> index) const {
    if (!index) return {.transposed = transposed};
    return {.start = *index * shape[1], .rows = shape[1]};
  }
};

/// Every tensor that a model of this configuration consists of, by name.
std::map<std::string, Parameter> model_parameters(const ModelConfiguration& model);

/// Where the MLP's first module reads: what the attention reads, too, where it has no norm of its
/// own beside it.
Site mlp_input_site(const ModelConfiguration& model, int64_t layer);

/// Every site of the model, as `parameter_sites`.
std::map<Site, int64_t> model_sites(const ModelConfiguration& model);

/// What the plan and the solver need to know of a model; no forward pass can be made from it.
struct ModelMap {
  std::string family, architecture;
  std::map<std::string, Parameter> parameters;
  /// Where the head is tied to the embedding: that one's name, and the name under which some files
  /// store the head too. Else empty.
  std::string tied_embedding, tied_head;
  int64_t experts = 0;  ///< of a layer that has any

  /// Whether the tied embedding's rows are the linear module that reads there.
  bool is_tied_head(const Site& site) const;
};
ModelMap map_model(const ModelConfiguration& model);

/// What pairing another checkpoint with one of this model needs to know of it.
PairHints pair_hints(const ModelMap& model);

/// Every site at which these parameters read and the number of its channels (rows of an embedding).
std::map<Site, int64_t> parameter_sites(const std::map<std::string, Parameter>& parameters);

/// "model.embed_tokens.weight", "lm_head.weight": the names in the layout at hand.
std::string embedding_name(const ModelConfiguration& model);
std::string head_name(const ModelConfiguration& model);

/// Chooses among the family's layouts the one whose tensors `checkpoint` has. Throws `InputError`
/// for the first tensor that the nearest layout asks for and the checkpoint lacks, or holds in
/// another shape or in a dtype that cannot be computed with, and for a layer behind the last.
void match_parameters(ModelConfiguration& model, const Checkpoint& checkpoint);

}  // namespace sagesan
