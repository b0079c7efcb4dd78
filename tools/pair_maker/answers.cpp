#include "pair_maker/answers.h"

#include <algorithm>

#include "sagesan/support/error.h"
#include "sagesan/text/records.h"

namespace sagesan::demo {

std::vector<Example> read_examples(const std::filesystem::path& file, const Tokenizer& tokenizer) {
  constexpr size_t kMaxLength = 512;
  std::vector<Example> examples;
  for (const Record& record : read_records(file)) {
    EncodedText text = encode_record(&tokenizer, record, kMaxLength);
    SAGESAN_ASSERT(text.answer_start > 0 && text.answer_start < text.ids.size());
    examples.push_back({std::move(text.ids), text.answer_start});
  }
  return examples;
}

double AnswerLikelihood::mean_probability() const {
  return (sums / counts).detach().exp().mean().item<double>();
}

AnswerLikelihood answer_likelihood(const LlamaShape& shape, const Weights& weights,
                                   const std::vector<Example>& examples) {
  const auto texts = static_cast<int64_t>(examples.size());
  size_t length = 0;
  for (const Example& example : examples) length = std::max(length, example.ids.size());
  Tensor ids = at::zeros({texts, static_cast<int64_t>(length)}, at::kLong);
  // Only states whose next token is an answer's meet the head.
  std::vector<int64_t> rows, targets, owners;
  std::vector<float> counts;
  for (size_t text = 0; text < examples.size(); ++text) {
    const Example& example = examples[text];
    const size_t first = text * length;
    std::copy(example.ids.begin(), example.ids.end(), ids.data_ptr<int64_t>() + first);
    for (size_t i = example.answer_start; i < example.ids.size(); ++i) {
      rows.push_back(static_cast<int64_t>(first + i - 1));
      targets.push_back(example.ids[i]);
      owners.push_back(static_cast<int64_t>(text));
    }
    counts.push_back(static_cast<float>(example.ids.size() - example.answer_start));
  }
  const Tensor states = final_states(shape, weights, ids).index_select(0, at::tensor(rows));
  const Tensor logits = head_logits(weights, states);
  const Tensor chosen = logits.gather(1, at::tensor(targets).unsqueeze(1)).squeeze(1);
  const Tensor log_likelihood = chosen - at::logsumexp(logits, {1});
  return {at::zeros({texts}, at::kFloat).index_add(0, at::tensor(owners), log_likelihood),
          at::tensor(counts)};
}

}  // namespace sagesan::demo
