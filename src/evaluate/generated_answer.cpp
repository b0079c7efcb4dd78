#include "sagesan/evaluate/generated_answer.h"

#include "sagesan/evaluate/rouge.h"

namespace sagesan {

GeneratedAnswer compare_answer(const Detokenizer& detokenizer, const std::vector<int64_t>& whole,
                               size_t prompt_length, const std::vector<int64_t>& generated) {
  const auto text_of = [&](const std::vector<int64_t>& ids) {
    return clean_up_spaces(detokenizer.decode(ids));
  };
  const auto prompt_end = whole.begin() + static_cast<std::ptrdiff_t>(prompt_length);
  GeneratedAnswer answer{.prompt = text_of({whole.begin(), prompt_end}),
                         .expected = text_of(whole),
                         .text = strip_space(text_of(generated))};
  if (!answer.prompt.empty())
    answer.expected = tokenization::replace_all(answer.expected, answer.prompt, "");
  answer.expected = strip_space(answer.expected);
  const RougeScore longest = rouge_l(answer.expected, answer.text);
  answer.rouge_l_recall = longest.recall;
  answer.rouge_l_f1 = longest.f1;
  answer.rouge_1_recall = rouge_1(answer.expected, answer.text).recall;
  return answer;
}

}  // namespace sagesan
