#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace sagesan::tokenization {

/// What a piece stands for (`ModelProto.SentencePiece.Type` of sentencepiece_model.proto).
enum class PieceKind {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6,
};

struct SentencePiece {
  std::string text;
  float score = 0;
  PieceKind kind = PieceKind::kNormal;
};

/// A `tokenizer.model` of SentencePiece: what of it decides the ids of Llama's kind.
struct SentencePieceModel {
  std::vector<SentencePiece> pieces;  ///< by id
  bool add_dummy_prefix = true;
  bool byte_fallback = false;
};

/// Reads a BPE model without normalization rules. Throws `InputError` for a file that is none, and
/// for what is not run: unigram, word and character models, normalization tables, removal of extra
/// white space, user-defined and unused pieces.
///
/// The reader is our own: Debian's libsentencepiece exports another version of protobuf than the
/// one that its libtorch loads, and two of them in one process overwrite each other.
SentencePieceModel read_sentencepiece(const std::filesystem::path& path);

}  // namespace sagesan::tokenization
