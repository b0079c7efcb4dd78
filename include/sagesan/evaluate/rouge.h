#pragma once

#include <string_view>

namespace sagesan {

/// Shares of the words that two texts have in common.
struct RougeScore {
  double precision = 0, recall = 0, f1 = 0;
};

/// The longest common subsequence of words, as rouge-score gives it with its stemmer (rouge_score:
/// rouge_scorer.py "rougeL"): lower-case runs of ASCII letters and digits, those of more than three
/// stemmed. All 0 where a text has no word.
RougeScore rouge_l(std::string_view target, std::string_view prediction);

/// The same with words alone, in any order ("rouge1").
RougeScore rouge_1(std::string_view target, std::string_view prediction);

}  // namespace sagesan
