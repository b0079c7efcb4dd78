#pragma once

#include <array>
#include <vector>

#include "sagesan/model/decoder.h"
#include "weights.h"

namespace sagesan {

/// Some of the texts, which go through a layer together.
struct Block {
  int64_t start, count;  ///< rows of the hidden states
  size_t first_text;     ///< place in the batch
  std::vector<int64_t> lengths;
};

/// Cuts a batch into blocks of a few thousand tokens; a longer text is a block of its own.
std::vector<Block> make_blocks(const TokenBatch& batch);

/// Hands what one layer's sites see to the observer, and knows when no more is wanted.
class SiteWatch {
 public:
  SiteWatch(int64_t layer, const std::set<Site>& wanted, bool finish, const Observer& observer);

  /// Observes if wanted; whether anything behind this site is wanted.
  bool operator()(SiteKind kind, const Tensor& x, const std::vector<int64_t>& lengths) const {
    return (*this)(Site{layer_, kind}, x, lengths, Tensor());
  }
  bool operator()(const Site& site, const Tensor& x, const std::vector<int64_t>& lengths,
                  const Tensor& weights, bool trace_only = false) const;
  bool wants(const Site& site) const { return wanted_.contains(site); }

 private:
  int64_t layer_;
  const std::set<Site>& wanted_;
  const Observer& observer_;
  Site last_;  ///< what lies behind it is not computed
};

/// The attention half of a layer.
class Attention {
 public:
  Attention(const ModelConfiguration& model, const WeightReader& reader, int64_t layer);

  /// What is to be added to the hidden states `x` `[tokens, hidden]`, and the input that all
  /// modules read; undefined where nothing behind the last site seen is wanted.
  struct Result {
    Tensor sum, input;
  };
  Result run(const Tensor& x, const Block& block, RotaryEmbedding* rope, const SiteWatch& watch,
             KeyValueCache* cache) const;

 private:
  /// Queries, keys and values `[tokens, heads, channels]`.
  std::array<Tensor, 3> project(const Tensor& input) const;
  /// Norm of the queries or keys.
  bool normalize(const Norm& norm, Tensor& heads, SiteKind kind, const Block& block,
                 const SiteWatch& watch) const;
  /// Attention of each text of the block, `[tokens, heads * channels]`; queries and keys are not
  /// rotated yet.
  Tensor mix(Tensor queries, Tensor keys, const Tensor& values, const Block& block,
             RotaryEmbedding* rope, KeyValueCache* cache) const;

  const ModelConfiguration& model_;
  int64_t layer_;
  Norm norm_, query_norm_, key_norm_, output_norm_;
  Linear query_, key_, value_, fused_, output_;
};

/// The gated or plain MLP of a layer or of one expert, without its norms.
struct GatedMlp {
  Linear gate, up, gate_up, down;

  /// What `down` reads.
  Tensor hidden(const Tensor& input, Activation activation) const;
};

/// The MLP half of a layer, with one MLP or with experts.
class MlpHalf {
 public:
  MlpHalf(const ModelConfiguration& model, const WeightReader& reader, int64_t layer);

  /// What the first modules read: the normalized `x`, or `attention_input` where the family has no
  /// norm here. Undefined where nothing behind it is wanted.
  Tensor input(const Tensor& x, const Tensor& attention_input, const Block& block,
               const SiteWatch& watch) const;
  /// Adds the MLP of `input` to `x`, in place.
  void add(const Tensor& x, const Tensor& input, const Block& block, const SiteWatch& watch) const;
  bool has_experts() const { return model_.layer(layer_).experts; }
  /// The same for all blocks at once, an expert after another. `inputs` as `hidden`.
  void add_experts(HiddenStates& hidden, const Tensor& inputs, const std::vector<Block>& blocks,
                   const SiteWatch& watch) const;

 private:
  GatedMlp expert(int64_t index) const;

  const ModelConfiguration& model_;
  const WeightReader& reader_;
  int64_t layer_;
  Norm norm_, output_norm_;
  GatedMlp mlp_;
};

}  // namespace sagesan
