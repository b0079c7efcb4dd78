#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sagesan/text/byte_trie.h"
#include "sagesan/text/model.h"

namespace sagesan::tokenization {

/// The "Unigram" model of tokenizer.json: `vocab` (pairs of token and score; the id is the place),
/// `unk_id` and `byte_fallback`. The ids are those of the cut with the largest sum of scores, found
/// as in Hugging Face's implementation (and sentencepiece's `EncodeOptimized`), so that equal sums
/// are cut alike.
class Unigram final : public Model {
 public:
  /// Throws `InputError` for wrong types and an unk_id that no token has.
  Unigram(const Json& model, const std::string& where);

  /// A character without a token costs the lowest score less 10; a run of such characters is one
  /// unknown token, or its bytes. Throws `InputError` where an unknown token is needed and the file
  /// names none. Takes O(n) times the longest token's length.
  void encode(std::string_view piece, std::vector<int64_t>& ids) const override;

  std::optional<int32_t> find(std::string_view token) const override;
  size_t vocabulary_size() const override { return scores_.size(); }
  int64_t largest_id() const override { return static_cast<int64_t>(scores_.size()) - 1; }
  void visit_tokens(
      const std::function<void(std::string_view token, int64_t id)>& visit) const override {
    for (const auto& [token, id] : vocabulary_) visit(token, id);
  }

 private:
  void read_vocabulary(const Json& vocabulary, const std::string& where);
  /// The ids of a stretch that the best cut took for one token, or for several unknown ones.
  void append(std::string_view stretch, std::vector<int64_t>& ids) const;
  int32_t unknown() const;

  TokenMap vocabulary_;
  std::vector<double> scores_;
  ByteTrie trie_;
  double unknown_score_ = 0;
  std::optional<int32_t> unknown_;
  std::optional<ByteTokens> bytes_;
  std::string where_;
};

}  // namespace sagesan::tokenization
