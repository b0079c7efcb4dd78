#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "sagesan/support/json.h"
#include "sagesan/text/merge_table.h"

namespace sagesan::tokenization {

/// Ids past this are refused: no vocabulary comes near it, and sizes derived from ids stay sane.
inline constexpr int64_t kMaxTokenId = (int64_t{1} << 26) - 1;

/// The "BPE" model of tokenizer.json: `vocab`, `merges` (strings or pairs), `ignore_merges`,
/// `unk_token`, `fuse_unk` and `byte_fallback`. Dropout, a continuing-subword prefix and an
/// end-of-word suffix are refused where they are set.
class Bpe {
 public:
  /// Throws `InputError` for wrong types, ids that are negative, too large or used twice, and
  /// merges of tokens that are not in the vocabulary.
  Bpe(const Json& model, const std::string& where);

  /// Appends the ids of one piece of text (valid UTF-8, not empty). As in Hugging Face's
  /// implementation a character that has no token, no bytes to fall back on and no unknown token
  /// yields nothing; a byte-level vocabulary has a token for every byte. Takes O(n log n).
  void encode(std::string_view word, std::vector<int64_t>& ids) const;

  std::optional<int32_t> find(std::string_view token) const;
  size_t vocabulary_size() const { return vocabulary_.size(); }
  int64_t largest_id() const { return largest_id_; }

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };

  void read_vocabulary(const Json& vocabulary, const std::string& where);
  void read_merges(const Json& merges, const std::string& where);
  /// The first symbols of a word: one for each character, and what stands for unknown ones.
  void append_symbols(std::string_view word, std::vector<int32_t>& symbols) const;
  bool append_fallback_bytes(std::string_view character, std::vector<int32_t>& symbols) const;
  int32_t find_character(std::string_view character, char32_t code_point) const;
  void merge(const std::vector<int32_t>& symbols, std::vector<int64_t>& ids) const;

  std::unordered_map<std::string, int32_t, Hash, std::equal_to<>> vocabulary_;
  std::array<int32_t, 0x800> short_characters_;  // id by code point, -1 where there is none
  MergeTable merges_;
  int64_t largest_id_ = -1;
  std::optional<int32_t> unknown_;
  bool fuse_unknown_ = false;
  bool byte_fallback_ = false;
  bool ignore_merges_ = false;
};

}  // namespace sagesan::tokenization
