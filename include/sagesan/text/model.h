#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "sagesan/support/json.h"

namespace sagesan::tokenization {

/// Ids past this are refused: no vocabulary comes near it, and sizes derived from ids stay sane.
inline constexpr int64_t kMaxTokenId = (int64_t{1} << 26) - 1;

/// What turns one piece of text into ids. Immutable; `encode` may run on several threads at once.
class Model {
 public:
  virtual ~Model() = default;

  /// Appends the ids of a piece (valid UTF-8, not empty).
  virtual void encode(std::string_view piece, std::vector<int64_t>& ids) const = 0;
  virtual std::optional<int32_t> find(std::string_view token) const = 0;
  virtual size_t vocabulary_size() const = 0;
  virtual int64_t largest_id() const = 0;
  /// Calls `visit` for every token of the vocabulary.
  virtual void visit_tokens(
      const std::function<void(std::string_view token, int64_t id)>& visit) const = 0;
};

/// The "model" of tokenizer.json: BPE (also where an older file leaves the type out) or Unigram.
/// Throws `InputError` for every other type.
std::unique_ptr<const Model> read_model(const Json& model, const std::string& where);

/// Tokens by their text, to be looked up without a copy.
struct TokenHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};
using TokenMap = std::unordered_map<std::string, int32_t, TokenHash, std::equal_to<>>;

/// The ids of the tokens <0x00> to <0xFF>, which spell a character that has no token of its own.
class ByteTokens {
 public:
  explicit ByteTokens(const Model& model);
  /// Appends one id for each byte; false, and nothing appended, where one of them has no token.
  template <typename Id>
  bool append(std::string_view bytes, std::vector<Id>& ids) const {
    for (const char byte : bytes) {
      if (ids_[static_cast<unsigned char>(byte)] < 0) return false;
    }
    for (const char byte : bytes) ids.push_back(ids_[static_cast<unsigned char>(byte)]);
    return true;
  }

 private:
  int32_t ids_[256];
};

}  // namespace sagesan::tokenization
