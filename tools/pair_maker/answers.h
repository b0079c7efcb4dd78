#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <vector>

#include "pair_maker/llama.h"
#include "sagesan/text/tokenizer.h"

namespace sagesan::demo {

/// One record as token ids.
struct Example {
  std::vector<int64_t> ids;
  size_t answer_start = 0;  ///< index of the first answer token, at least 1
};

/// The records of a file as sagesan itself renders and encodes them.
std::vector<Example> read_examples(const std::filesystem::path& file, const Tokenizer& tokenizer);

/// Log-likelihoods of answers, each text's by itself: float32 `[texts]`.
struct AnswerLikelihood {
  Tensor sums;    ///< over the answer's tokens, nats
  Tensor counts;  ///< how many tokens

  /// Of a token, over all tokens: a scalar.
  Tensor mean() const { return sums.sum() / counts.sum(); }
  /// exp(mean over the answer's tokens), averaged over the texts.
  double mean_probability() const;
};

AnswerLikelihood answer_likelihood(const LlamaShape& shape, const Weights& weights,
                                   const std::vector<Example>& examples);

}  // namespace sagesan::demo
