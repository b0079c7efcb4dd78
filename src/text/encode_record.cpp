#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "sagesan/support/error.h"
#include "sagesan/text/records.h"

namespace sagesan {

void EncodedText::shorten(size_t length) {
  if (ids.size() <= length) return;
  ids.resize(length);
  answer_start = std::min(answer_start, length);
  cut = true;
}

EncodedText encode_record(const Tokenizer* tokenizer, const Record& record, size_t max_length) {
  SAGESAN_ASSERT(max_length > 0);
  EncodedText result;
  if (record.input_ids) {
    result.ids = *record.input_ids;
  } else {
    if (tokenizer == nullptr) {
      throw InputError(record.where,
                       "a text, but the model has no tokenizer.json; give records of 'input_ids'");
    }
    const auto encode = [&](const std::string& text) {
      try {
        return record.own_special_tokens ? tokenizer->encode(text) : tokenizer->encode_plain(text);
      } catch (const InputError& error) {
        throw InputError(record.where, error.what());
      }
    };
    result.ids = encode(record.text);
    if (!record.end.empty()) {
      const std::vector<int64_t> end = tokenizer->encode_plain(record.end);
      if (end.size() != 1)
        throw InputError(record.where, "the tokenizer has no token " + quote(record.end));
      if (result.ids.empty() || result.ids.back() != end[0]) result.ids.push_back(end[0]);
    }
    if (record.has_answer) {
      const std::vector<int64_t> prompt = encode(record.prompt);
      const auto [end, ignored] =
          std::mismatch(result.ids.begin(), result.ids.end(), prompt.begin(), prompt.end());
      result.answer_start = static_cast<size_t>(end - result.ids.begin());
    }
  }
  result.answer_start = std::min(result.answer_start, result.ids.size());
  result.shorten(max_length);
  return result;
}

std::vector<EncodedText> encode_pieces(const Tokenizer* tokenizer, const Record& record,
                                       size_t max_length, bool split) {
  const bool has_turns = record.has_answer || !record.end.empty();
  if (!split || has_turns) return {encode_record(tokenizer, record, max_length)};
  EncodedText whole = encode_record(tokenizer, record, std::numeric_limits<size_t>::max());
  if (whole.ids.size() <= max_length) return {std::move(whole)};
  auto begin = whole.ids.begin();
  auto end = whole.ids.end();
  if (!record.input_ids && record.own_special_tokens) {
    const std::vector<int64_t> text = tokenizer->encode_plain(record.text);
    begin = std::search(begin, end, text.begin(), text.end());
    end = begin + static_cast<std::ptrdiff_t>(text.size());
  }
  const std::vector<int64_t> before(whole.ids.begin(), begin);
  const std::vector<int64_t> after(end, whole.ids.end());
  if (before.size() + after.size() >= max_length) {
    throw InputError(record.where, fmt::format("a piece of {} tokens has no room for text beside "
                                               "the tokenizer's own special tokens",
                                               max_length));
  }
  const auto room = static_cast<std::ptrdiff_t>(max_length - before.size() - after.size());
  std::vector<EncodedText> pieces;
  while (begin < end) {
    const auto next = begin + std::min(room, end - begin);
    EncodedText piece{.ids = before};
    piece.ids.insert(piece.ids.end(), begin, next);
    piece.ids.insert(piece.ids.end(), after.begin(), after.end());
    pieces.push_back(std::move(piece));
    begin = next;
  }
  return pieces;
}

}  // namespace sagesan
