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
};

/// Called with the inputs `x` (float32 `[tokens, channels]`) that a site sees, a block of whole
/// texts at a time, in order; `lengths` are the tokens of each of these texts.
using Observer =
    std::function<void(Site site, const Tensor& x, const std::vector<int64_t>& lengths)>;

/// A decoder of the Llama family that holds one layer at a time. Everything is computed in float32
/// from the checkpoint's weights; the hidden states of all tokens stay in memory, `[tokens,
/// hidden]`.
class Decoder {
 public:
  /// `checkpoint` must outlive this and have passed `check_parameters`.
  Decoder(const ModelConfiguration& model, const Checkpoint& checkpoint, at::Device device);

  /// Hidden states before layer 0, `[tokens, hidden]`. Ids must lie in the vocabulary.
  Tensor embed(const TokenBatch& batch) const;

  /// Runs layer `layer` on `hidden` in place. Only sites in `wanted` are observed; after the last
  /// wanted one the rest is computed only if `finish`, otherwise `hidden` is left half-way.
  void run_layer(int64_t layer, Tensor& hidden, const TokenBatch& batch,
                 const std::set<Site>& wanted, bool finish, const Observer& observer);

  /// Final norm of `hidden`, in place; observes the final norm's and the head's inputs if wanted.
  void run_final_norm(Tensor& hidden, const TokenBatch& batch, const std::set<Site>& wanted,
                      const Observer& observer) const;

  /// Rows [start, start + count) of the head's weight, float32.
  Tensor head_rows(int64_t start, int64_t count) const;

 private:
  struct Linear {
    Tensor weight;  ///< [out, in]
    Tensor bias;    ///< [out], or undefined
  };
  struct Layer;
  /// What one block of texts takes along.
  struct Block {
    int64_t start, count;  ///< rows of the hidden states
    std::vector<int64_t> lengths;
  };

  /// In float32 on the device; throws where a value is not finite.
  Tensor to_compute(const Tensor& values, const StoredTensor& stored) const;
  Tensor weight(const std::string& name) const;
  Linear linear(const std::string& module, bool bias) const;
  Layer load_layer(int64_t layer) const;
  static std::vector<Block> blocks(const TokenBatch& batch);
  Tensor normalize(const Tensor& x) const;
  Tensor attend(const Tensor& queries, const Tensor& keys, const Tensor& values, const Block& block,
                int64_t window) const;

  const ModelConfiguration& model_;
  const Checkpoint& checkpoint_;
  at::Device device_;
  RotaryEmbedding rope_;
};

/// Causal attention of one text. `queries` `[tokens, heads, channels]`, `keys` and `values`
/// `[tokens, key-value heads, channels]`; heads come in groups of heads / key-value heads. A query
/// sees the last `window` tokens, itself included (0: all). Returns `[tokens, heads * channels]`.
/// Queries go in blocks, so memory grows with the text's length and not with its square.
Tensor causal_attention(const Tensor& queries, const Tensor& keys, const Tensor& values,
                        double scale, int64_t window);

}  // namespace sagesan
