#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sagesan/text/detokenizer.h"

namespace sagesan {

/// What a model answers, beside what it should (open-unlearning: utils.py `eval_text_similarity`).
struct GeneratedAnswer {
  std::string prompt, expected, text;
  double rouge_1_recall = 0, rouge_l_recall = 0, rouge_l_f1 = 0;
};

/// Compares the text of `generated` with a record's: its ids `whole`, the first `prompt_length` of
/// which are the prompt. Texts are those of the ids without special tokens, with spaces cleaned up
/// and none at the ends; the expected one is the whole text without the prompt's.
GeneratedAnswer compare_answer(const Detokenizer& detokenizer, const std::vector<int64_t>& whole,
                               size_t prompt_length, const std::vector<int64_t>& generated);

}  // namespace sagesan
