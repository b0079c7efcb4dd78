#include <algorithm>
#include <functional>

#include "sagesan/support/error.h"
#include "sagesan/text/bpe.h"

namespace sagesan::tokenization {

Bpe::Bpe(const SentencePieceModel& model, const std::string& where) : fuse_unknown_(true) {
  short_characters_.fill(-1);
  std::vector<float> scores;
  for (const SentencePiece& piece : model.pieces) {
    const auto id = static_cast<int32_t>(++largest_id_);
    if (!vocabulary_.emplace(piece.text, id).second) {
      throw InputError(where, quote(piece.text) + " stands twice");
    }
    if (piece.kind == PieceKind::kNormal) {
      add_short_character(piece.text, id);
      scores.push_back(piece.score);
    }
    if (piece.kind == PieceKind::kUnknown) unknown_ = id;
  }
  if (model.byte_fallback) bytes_.emplace(*this);
  // Equal scores have one rank, so that the leftmost of their pairs merges first as it does there.
  std::sort(scores.begin(), scores.end(), std::greater<>());
  scores.erase(std::unique(scores.begin(), scores.end()), scores.end());
  const auto normal = [&](std::string_view text) {
    const auto found = find(text);
    return found && model.pieces[static_cast<size_t>(*found)].kind == PieceKind::kNormal ? *found
                                                                                         : -1;
  };
  struct Pair {
    int32_t left;
    int32_t right;
    Merge merge;
  };
  std::vector<Pair> pairs;
  for (const SentencePiece& piece : model.pieces) {
    if (piece.kind != PieceKind::kNormal) continue;
    const auto place =
        std::lower_bound(scores.begin(), scores.end(), piece.score, std::greater<>());
    const Merge merge{static_cast<int32_t>(place - scores.begin()), *find(piece.text)};
    const std::string_view text = piece.text;
    for (size_t cut = 1; cut < text.size(); ++cut) {
      const int32_t left = normal(text.substr(0, cut));
      const int32_t right = left < 0 ? -1 : normal(text.substr(cut));
      if (right >= 0) pairs.push_back({left, right, merge});
    }
  }
  merges_ = MergeTable(pairs.size());
  for (const Pair& pair : pairs) merges_.set(pair.left, pair.right, pair.merge);
}

}  // namespace sagesan::tokenization
