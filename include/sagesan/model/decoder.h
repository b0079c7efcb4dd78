#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "sagesan/checkpoint/checkpoint.h"
#include "sagesan/model/configuration.h"
#include "sagesan/model/hidden_states.h"
#include "sagesan/model/key_value_cache.h"
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
  void add(const TokenBatch& texts);
  /// Of each token in its text, from 0.
  std::vector<int64_t> positions() const;
};

/// The most tokens that go through a layer at a time.
int64_t most_block_tokens(const TokenBatch& batch);

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

struct KeptWeights;

/// A decoder that holds one layer at a time, unless it is told to keep what it reads. Everything is
/// computed in float32 from the checkpoint's weights.
///
/// Where a `KeyValueCache` is given, the texts of the batch go on with the texts chosen there, and
/// the layers add their keys and values to it: the same results as of a pass over the whole texts,
/// unless `outgrows` says otherwise.
class Decoder {
 public:
  /// `checkpoint` must outlive this and have passed `match_parameters` with `model`.
  Decoder(const ModelConfiguration& model, const Checkpoint& checkpoint, at::Device device);
  ~Decoder();

  /// From now on layers and head stay in memory once they are read.
  void keep_weights();
  /// What they take, in bytes.
  static int64_t weight_bytes(const ModelConfiguration& model);

  /// Whether a text's first `before` tokens would be other ones within `after` tokens, by a RoPE
  /// that depends on the length: then the text must be run from its start.
  bool outgrows(int64_t before, int64_t after) const;

  /// Hidden states before layer 0, `[tokens, hidden]`. Ids must lie in the vocabulary, and no text
  /// may be longer than a learned position embedding.
  Tensor embed(const TokenBatch& batch, const KeyValueCache* cache = nullptr) const;
  /// The same in a scratch file in `directory`, a block of texts in memory at a time.
  HiddenStates embed_to_file(const TokenBatch& batch, const std::filesystem::path& directory) const;

  /// Runs layer `layer` on `hidden` in place. Only sites in `wanted` are observed; after the last
  /// wanted one the rest is computed only if `finish`, otherwise `hidden` is left half-way.
  void run_layer(int64_t layer, HiddenStates& hidden, const TokenBatch& batch,
                 const std::set<Site>& wanted, bool finish, const Observer& observer,
                 KeyValueCache* cache = nullptr);

  /// Final norm of `hidden`, in place; observes the final norm's and the head's inputs if wanted.
  void run_final_norm(HiddenStates& hidden, const TokenBatch& batch, const std::set<Site>& wanted,
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

  /// Throws `InputError` that names the checkpoint unless `values`, which come of its logits and
  /// are called `what`, are finite.
  void require_finite(const Tensor& values, std::string_view what) const;

 private:
  const ModelConfiguration& model_;
  const Checkpoint& checkpoint_;
  at::Device device_;
  std::map<int64_t, std::vector<StoredTensor>> weights_;  ///< of each layer
  std::vector<RotaryEmbedding> ropes_;
  std::unique_ptr<KeptWeights> kept_;  // null: nothing is kept
};

/// Causal attention within each of some texts of one length. `queries` `[texts, tokens, heads,
/// channels]`, `keys` and `values` `[texts, all, key-value heads, channels]`, all >= tokens: the
/// queries are the last tokens'. Heads come in groups of heads / key-value heads. A query sees the
/// last `window` tokens, itself included (0: all); scores go through softcap * tanh(score /
/// softcap) unless `softcap` is 0. Returns `[texts, tokens, heads * channels]`.
/// Queries go in blocks, so memory grows with the text's length and not with its square.
Tensor causal_attention(const Tensor& queries, const Tensor& keys, const Tensor& values,
                        double scale, int64_t window, double softcap = 0);

}  // namespace sagesan
