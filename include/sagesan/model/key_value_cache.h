#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "sagesan/model/configuration.h"
#include "sagesan/support/tensor.h"

namespace sagesan {

/// The keys and values of texts that go on token by token, so that a further token costs one row
/// and not the whole text again. Layers with a window keep all of theirs, too. float32.
class KeyValueCache {
 public:
  /// Room for one text of each of `capacities` tokens.
  KeyValueCache(const ModelConfiguration& model, const std::vector<int64_t>& capacities,
                at::Device device);

  /// Bytes of one token in all layers.
  static int64_t token_bytes(const ModelConfiguration& model);

  /// The texts, by their place in `capacities`, that the next batch goes on with, in its order; at
  /// first all of them.
  void choose(std::vector<size_t> texts);
  /// Text `text` of `capacities` starts from nothing again.
  void forget(size_t text) { sizes_[text] = 0; }
  /// How many tokens of each text of the batch came before it.
  std::vector<int64_t> before() const;

  /// Takes the keys and values `[tokens, key-value heads, channels]` that `layer` made of text
  /// `index` of the batch, and returns those of the whole text so far: views into the cache.
  std::pair<Tensor, Tensor> append(int64_t layer, size_t index, const Tensor& keys,
                                   const Tensor& values);
  /// To be called when all layers have taken a batch of texts of `lengths` tokens.
  void advance(const std::vector<int64_t>& lengths);

 private:
  std::vector<Tensor> keys_, values_;    // by layer, the texts one after another
  std::vector<int64_t> starts_, sizes_;  // of each text
  std::vector<size_t> chosen_;
};

}  // namespace sagesan
