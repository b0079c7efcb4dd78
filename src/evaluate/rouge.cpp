#include "sagesan/evaluate/rouge.h"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "porter_stemmer.h"

namespace sagesan {
namespace {

std::vector<std::string> split_words(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  const auto finish = [&] {
    if (!word.empty()) words.push_back(word.size() > 3 ? porter_stem(word) : word);
    word.clear();
  };
  for (const char c : text) {
    const bool upper = c >= 'A' && c <= 'Z';
    if (upper || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
      word += upper ? static_cast<char>(c - 'A' + 'a') : c;
    } else {
      finish();
    }
  }
  finish();
  return words;
}

RougeScore score(size_t common, size_t target, size_t prediction) {
  if (common == 0) return {};
  RougeScore result;
  result.precision = static_cast<double>(common) / static_cast<double>(prediction);
  result.recall = static_cast<double>(common) / static_cast<double>(target);
  result.f1 = 2 * result.precision * result.recall / (result.precision + result.recall);
  return result;
}

size_t longest_common_subsequence(const std::vector<std::string>& a,
                                  const std::vector<std::string>& b) {
  std::vector<size_t> row(b.size() + 1, 0);
  for (const std::string& word : a) {
    size_t diagonal = 0;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = word == b[j - 1] ? diagonal + 1 : std::max(row[j], row[j - 1]);
      diagonal = above;
    }
  }
  return row.back();
}

}  // namespace

RougeScore rouge_l(std::string_view target, std::string_view prediction) {
  const auto expected = split_words(target);
  const auto given = split_words(prediction);
  return score(longest_common_subsequence(expected, given), expected.size(), given.size());
}

RougeScore rouge_1(std::string_view target, std::string_view prediction) {
  const auto expected = split_words(target);
  const auto given = split_words(prediction);
  std::map<std::string, size_t> left;
  for (const std::string& word : expected) ++left[word];
  size_t common = 0;
  for (const std::string& word : given) {
    const auto found = left.find(word);
    if (found == left.end() || found->second == 0) continue;
    --found->second;
    ++common;
  }
  return score(common, expected.size(), given.size());
}

}  // namespace sagesan
