#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sagesan/text/text_decoder.h"

namespace sagesan {

/// Turns ids back into text.
class Detokenizer {
 public:
  struct Token {
    std::string text;
    bool exists = false;
    bool special = false;  ///< left out of the text
  };
  /// `tokens` by id.
  Detokenizer(std::vector<Token> tokens, tokenization::TextDecoder decoder)
      : tokens_(std::move(tokens)), decoder_(std::move(decoder)) {}

  /// The text of `ids` without special tokens, valid UTF-8: what is none becomes U+FFFD. Ids that
  /// no token has are left out (`Tokenizer.decode` of Hugging Face's `tokenizers`).
  std::string decode(const std::vector<int64_t>& ids) const;

 private:
  std::vector<Token> tokens_;
  tokenization::TextDecoder decoder_;
};

/// Takes out the space in front of punctuation and of English contractions, as `transformers` does
/// where it is asked for `clean_up_tokenization_spaces` (tokenization_utils_base.py).
std::string clean_up_spaces(std::string text);

/// `text` without the white space at its ends.
std::string strip_space(std::string_view text);

}  // namespace sagesan
