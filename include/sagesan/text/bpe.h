#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sagesan/support/json.h"
#include "sagesan/text/merge_table.h"
#include "sagesan/text/model.h"
#include "sagesan/text/sentencepiece.h"

namespace sagesan::tokenization {

/// The "BPE" model of tokenizer.json: `vocab`, `merges` (strings or pairs), `ignore_merges`,
/// `unk_token`, `fuse_unk` and `byte_fallback`. Dropout, a continuing-subword prefix and an
/// end-of-word suffix are refused where they are set.
class Bpe final : public Model {
 public:
  /// Throws `InputError` for wrong types, ids that are negative, too large or used twice, and
  /// merges of tokens that are not in the vocabulary.
  Bpe(const Json& model, const std::string& where);
  /// SentencePiece's: two normal pieces merge where their text together is one, the highest score
  /// first, of equal scores the leftmost. Unknown characters are spelled in bytes or joined.
  Bpe(const SentencePieceModel& model, const std::string& where);

  /// Appends the ids of one piece of text (valid UTF-8, not empty). As in Hugging Face's
  /// implementation a character that has no token, no bytes to fall back on and no unknown token
  /// yields nothing; a byte-level vocabulary has a token for every byte. Takes O(n log n).
  void encode(std::string_view word, std::vector<int64_t>& ids) const override;

  std::optional<int32_t> find(std::string_view token) const override;
  size_t vocabulary_size() const override { return vocabulary_.size(); }
  int64_t largest_id() const override { return largest_id_; }
  void visit_tokens(
      const std::function<void(std::string_view token, int64_t id)>& visit) const override {
    for (const auto& [token, id] : vocabulary_) visit(token, id);
  }

 private:
  void read_vocabulary(const Json& vocabulary, const std::string& where);
  void add_short_character(std::string_view token, int32_t id);
  void read_merges(const Json& merges, const std::string& where);
  /// The first symbols of a word: one for each character, and what stands for unknown ones.
  void append_symbols(std::string_view word, std::vector<int32_t>& symbols) const;
  int32_t find_character(std::string_view character, char32_t code_point) const;
  void merge(const std::vector<int32_t>& symbols, std::vector<int64_t>& ids) const;

  TokenMap vocabulary_;
  std::array<int32_t, 0x800> short_characters_;  // id by code point, -1 where there is none
  MergeTable merges_;
  int64_t largest_id_ = -1;
  std::optional<int32_t> unknown_;
  bool fuse_unknown_ = false;
  std::optional<ByteTokens> bytes_;  // to fall back on
  bool ignore_merges_ = false;
};

}  // namespace sagesan::tokenization
