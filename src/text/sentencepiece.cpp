#include "sagesan/text/sentencepiece.h"

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <string_view>

#include "sagesan/support/error.h"
#include "sagesan/support/file.h"
#include "sagesan/support/utf8.h"

namespace sagesan::tokenization {
namespace {

constexpr uint64_t kMaxModelBytes = uint64_t{256} << 20;

/// The fields of one message in protobuf's wire format
/// (https://protobuf.dev/programming-guides/encoding).
class Message {
 public:
  Message(std::string_view bytes, const std::string& where) : bytes_(bytes), where_(where) {}

  /// Goes to the next field; false at the end.
  bool next() {
    if (position_ >= bytes_.size()) return false;
    const uint64_t tag = varint();
    number_ = static_cast<uint32_t>(tag >> 3);
    kind_ = static_cast<uint32_t>(tag & 7);
    if (number_ == 0) fail();
    if (kind_ == 0) {
      value_ = varint();
    } else if (kind_ == 1) {
      payload_ = take(8);
    } else if (kind_ == 2) {
      payload_ = take(varint());
    } else if (kind_ == 5) {
      payload_ = take(4);
    } else {
      fail();
    }
    return true;
  }

  uint32_t number() const { return number_; }
  uint64_t integer() const {
    if (kind_ != 0) fail();
    return value_;
  }
  bool boolean() const { return integer() != 0; }
  std::string_view bytes() const {
    if (kind_ != 2) fail();
    return payload_;
  }
  float real() const {
    if (kind_ != 5) fail();
    uint32_t bits = 0;
    for (size_t i = 4; i-- > 0;) bits = bits << 8 | static_cast<unsigned char>(payload_[i]);
    return std::bit_cast<float>(bits);
  }

  [[noreturn]] void fail() const { throw InputError(where_, "not a SentencePiece model"); }

 private:
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (position_ >= bytes_.size()) fail();
      const auto byte = static_cast<unsigned char>(bytes_[position_++]);
      value |= uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return value;
    }
    fail();
  }
  std::string_view take(uint64_t size) {
    if (size > bytes_.size() - position_) fail();
    position_ += size;
    return bytes_.substr(position_ - size, size);
  }

  std::string_view bytes_;
  const std::string& where_;
  size_t position_ = 0;
  uint32_t number_ = 0;
  uint32_t kind_ = 0;
  uint64_t value_ = 0;
  std::string_view payload_;
};

[[noreturn]] void refuse(const std::string& where, const std::string& what) {
  throw InputError(where, what + " not supported here; a tokenizer.json beside it would be run");
}

SentencePiece read_piece(Message message, const std::string& where) {
  SentencePiece piece;
  while (message.next()) {
    if (message.number() == 1) piece.text = message.bytes();
    if (message.number() == 2) piece.score = message.real();
    if (message.number() == 3) {
      if (message.integer() < 1 || message.integer() > 6) message.fail();
      piece.kind = static_cast<PieceKind>(message.integer());
    }
  }
  if (piece.text.empty() || !std::isfinite(piece.score) ||
      find_invalid_utf8(piece.text) != std::string_view::npos)
    message.fail();
  if (piece.kind == PieceKind::kUserDefined || piece.kind == PieceKind::kUnused) {
    refuse(where, fmt::format("{}: a user-defined or unused piece is", quote(piece.text)));
  }
  return piece;
}

void read_trainer(Message message, SentencePieceModel& model, const std::string& where) {
  constexpr std::string_view kTypes[] = {"unknown", "unigram", "BPE", "word", "character"};
  uint64_t type = 1;
  while (message.next()) {
    if (message.number() == 3) type = message.integer();
    if (message.number() == 24 && message.boolean()) refuse(where, "white space as suffix is");
    if (message.number() == 35) model.byte_fallback = message.boolean();
  }
  if (type != 2) refuse(where, fmt::format("a model of type {} is", kTypes[type < 5 ? type : 0]));
}

void read_normalizer_rules(Message message, SentencePieceModel& model, const std::string& where) {
  bool removes_spaces = true;
  while (message.next()) {
    if (message.number() == 2 && !message.bytes().empty())
      refuse(where, "a normalization table is");
    if (message.number() == 3) model.add_dummy_prefix = message.boolean();
    if (message.number() == 4) removes_spaces = message.boolean();
    if (message.number() == 5 && !message.boolean()) refuse(where, "white space left as it is, is");
  }
  if (removes_spaces) refuse(where, "the removal of extra white space is");
}

}  // namespace

SentencePieceModel read_sentencepiece(const std::filesystem::path& path) {
  const std::string where = path.string();
  const std::string text = read_text_file(path, kMaxModelBytes);
  if (const std::string format = recognize_format(text); !format.empty()) {
    throw InputError(where, "expected a SentencePiece model, found " + format);
  }
  Message file(text, where);
  SentencePieceModel model;
  bool trained = false;
  bool normalized = false;
  while (file.next()) {
    if (file.number() == 1) {
      model.pieces.push_back(read_piece({file.bytes(), where}, where));
    } else if (file.number() == 2) {
      read_trainer({file.bytes(), where}, model, where);
      trained = true;
    } else if (file.number() == 3) {
      read_normalizer_rules({file.bytes(), where}, model, where);
      normalized = true;
    }
  }
  if (model.pieces.empty() || !trained || !normalized) file.fail();
  return model;
}

}  // namespace sagesan::tokenization
