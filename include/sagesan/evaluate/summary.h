#pragma once

#include <cstdint>

namespace sagesan {

/// The figures of one data set.
struct LikelihoodSummary {
  int64_t records = 0;
  int64_t tokens = 0;
  double mean_negative_log_likelihood = 0;  ///< nats per token, over all tokens
  double perplexity = 0;                    ///< exp of it
  /// Mean over the records of exp(-mean nll of the record): open-unlearning's "probability".
  double mean_answer_probability = 0;
};

}  // namespace sagesan
