#pragma once

#include <functional>
#include <set>
#include <vector>

#include "sagesan/checkpoint/checkpoint.h"
#include "sagesan/model/configuration.h"
#include "sagesan/model/parameters.h"
#include "sagesan/model/rope.h"
#include "sagesan/model/sites.h"
#include "sagesan/support/tensor.h"

namespace sagesan {

/// Texts as token ids, laid out for the decoder: one row a token, texts one after another,
/// unpadded.
struct TokenBatch {
  std::vector<int64_t> ids;      ///< all tokens
  std::vector<int64_t> lengths;  ///< of each text, at least 1

  int64_t tokens() const { return static_cast<int64_t>(ids.size()); }
  void add(const std::vector<int64_t>& text);
  /// Of each token in its text, from 0.
  std::vector<int64_t> positions() const;
};

/// The inputs that a site sees, a block of whole texts at a time, in order.
struct Observation {
  Site site;
  /// float32 `[tokens, channels]`; of query and key norms `[tokens, heads, channels]`.
  const Tensor& x;
  const std::vector<int64_t>& lengths;  ///< tokens of each of these texts, all positive
  Tensor weights;  ///< float64 `[tokens]`: of experts, the squared routing weight; else undefined
  /// Experts are seen twice: all of them once for their traces alone, by which energies are
  /// relative, and then one after another for their moments, so that one is in memory at a time.
  bool trace_only = false;
};
using Observer = std::function<void(const Observation&)>;

/// A decoder that holds one layer at a time. Everything is computed in float32 from the
/// checkpoint's weights; the hidden states of all tokens stay in memory, `[tokens, hidden]`.
class Decoder {
 public:
  /// `checkpoint` must outlive this and have passed `match_parameters` with `model`.
  Decoder(const ModelConfiguration& model, const Checkpoint& checkpoint, at::Device device);

  /// Hidden states before layer 0, `[tokens, hidden]`. Ids must lie in the vocabulary, and no text
  /// may be longer than a learned position embedding.
  Tensor embed(const TokenBatch& batch) const;

  /// Runs layer `layer` on `hidden` in place. Only sites in `wanted` are observed; after the last
  /// wanted one the rest is computed only if `finish`, otherwise `hidden` is left half-way.
  void run_layer(int64_t layer, Tensor& hidden, const TokenBatch& batch,
                 const std::set<Site>& wanted, bool finish, const Observer& observer);

  /// Final norm of `hidden`, in place; observes the final norm's and the head's inputs if wanted.
  void run_final_norm(Tensor& hidden, const TokenBatch& batch, const std::set<Site>& wanted,
                      const Observer& observer) const;

  /// Some rows of the head.
  struct HeadRows {
    Tensor weight;  ///< float32 `[rows, hidden]`
    Tensor bias;    ///< float32 `[rows]`, or undefined
    double softcap = 0;
    /// Logits `[tokens, rows]` of final hidden states `[tokens, hidden]`.
    Tensor logits(const Tensor& states) const;
  };
  /// Rows [start, start + count) of the head.
  HeadRows head_rows(int64_t start, int64_t count) const;

 private:
  const ModelConfiguration& model_;
  const Checkpoint& checkpoint_;
  at::Device device_;
  std::vector<RotaryEmbedding> ropes_;
};

/// Causal attention of one text. `queries` `[tokens, heads, channels]`, `keys` and `values`
/// `[tokens, key-value heads, channels]`; heads come in groups of heads / key-value heads. A query
/// sees the last `window` tokens, itself included (0: all); scores go through
/// softcap * tanh(score / softcap) unless `softcap` is 0. Returns `[tokens, heads * channels]`.
/// Queries go in blocks, so memory grows with the text's length and not with its square.
Tensor causal_attention(const Tensor& queries, const Tensor& keys, const Tensor& values,
                        double scale, int64_t window, double softcap = 0);

}  // namespace sagesan
