#include "sagesan/text/detokenizer.h"

#include <array>
#include <utility>

#include "sagesan/support/utf8.h"
#include "sagesan/text/unicode.h"

namespace sagesan {

std::string Detokenizer::decode(const std::vector<int64_t>& ids) const {
  std::vector<std::string> pieces;
  for (const int64_t id : ids) {
    if (id < 0 || id >= static_cast<int64_t>(tokens_.size())) continue;
    const Token& token = tokens_[static_cast<size_t>(id)];
    if (token.exists && !token.special) pieces.push_back(token.text);
  }
  decoder_(pieces);
  std::string text;
  for (const std::string& piece : pieces) text += piece;
  return text;
}

std::string clean_up_spaces(std::string text) {
  // In this order: what one makes, the next one sees.
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 10> kRules = {
      {{" .", "."},
       {" ?", "?"},
       {" !", "!"},
       {" ,", ","},
       {" ' ", "'"},
       {" n't", "n't"},
       {" 'm", "'m"},
       {" 's", "'s"},
       {" 've", "'ve"},
       {" 're", "'re"}}};
  for (const auto& [from, to] : kRules) text = tokenization::replace_all(text, from, to);
  return text;
}

std::string strip_space(std::string_view text) {
  text.remove_prefix(tokenization::leading_space(text));
  text.remove_suffix(tokenization::trailing_space(text));
  return std::string(text);
}

}  // namespace sagesan
