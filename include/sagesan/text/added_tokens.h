#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sagesan/support/json.h"
#include "sagesan/text/byte_trie.h"
#include "sagesan/text/model.h"
#include "sagesan/text/normalizer.h"
#include "sagesan/text/regex.h"

namespace sagesan::tokenization {

/// A stretch of text that still has to be tokenized, or an added token found there.
struct Segment {
  Span span;
  int64_t id = -1;  // -1: text
};

/// The "added_tokens" of tokenizer.json: tokens that are cut out of a text before anything else,
/// the longest of the leftmost. Those with `normalized` false are looked for in the raw text, the
/// others (normalized themselves) in the normalized text between them. `single_word` wants no word
/// character on either side; `lstrip` and `rstrip` take in the white space around.
class AddedTokens {
 public:
  /// Throws `InputError` for wrong types, and for ids that contradict the vocabulary or are not
  /// those that Hugging Face's reader, which ignores the written ones, would give.
  AddedTokens(const Json* list, const Model& model, const Normalizer& normalizer,
              const std::string& where);

  /// Appends the segments of `text`, in order; none is an empty text.
  void split_raw(std::string_view text, std::vector<Segment>& segments) const;
  void split_normalized(std::string_view text, std::vector<Segment>& segments) const;

  /// Largest id of an added token, -1 where there is none.
  int64_t largest_id() const { return largest_id_; }

  struct Token {
    int64_t id;
    std::string content;  ///< normalized, where the token is looked for in normalized text
    bool special;         ///< left out of a text that ids are turned into
    bool single_word;
    bool lstrip;
    bool rstrip;
  };
  const std::vector<Token>& tokens() const { return tokens_; }

 private:
  void split(const ByteTrie& trie, std::string_view text, std::vector<Segment>& segments) const;

  std::vector<Token> tokens_;
  ByteTrie raw_;
  ByteTrie normalized_;
  int64_t largest_id_ = -1;
};

}  // namespace sagesan::tokenization
