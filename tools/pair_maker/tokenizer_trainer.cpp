#include "pair_maker/tokenizer_trainer.h"

#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "sagesan/support/utf8.h"
#include "sagesan/text/byte_level.h"
#include "sagesan/text/pre_tokenizer.h"

namespace sagesan::demo {
namespace {

using Pair = std::pair<size_t, size_t>;

/// A piece of the pre-tokenizer as token ids, with the times that it occurs.
struct Word {
  std::vector<size_t> ids;
  size_t count;
};

Json byte_level() {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}};
}

/// The tokens before the first merge.
std::vector<std::string> alphabet() {
  std::vector<std::string> tokens = {kEndOfText};
  for (int byte = 0; byte < 256; ++byte) {
    std::string letter;
    tokenization::append_byte_letters(letter, std::string(1, static_cast<char>(byte)));
    tokens.push_back(letter);
  }
  return tokens;
}

std::vector<Word> count_words(const std::vector<std::string>& texts,
                              const std::vector<std::string>& tokens) {
  std::map<std::string, size_t> ids;
  for (size_t id = 1; id < tokens.size(); ++id) ids[tokens[id]] = id;
  const Json component = byte_level();
  const auto pre_tokenizer = tokenization::read_pre_tokenizer(&component, "pre_tokenizer");
  std::map<std::string, size_t> counts;
  for (const std::string& text : texts) {
    tokenization::Pieces pieces{text, {{0, text.size()}}};
    pre_tokenizer(pieces);
    for (const auto& span : pieces.spans) ++counts[std::string(pieces.piece(span))];
  }
  std::vector<Word> words;
  for (const auto& [piece, count] : counts) {
    Word word{{}, count};
    for (size_t position = 0; position < piece.size();) {
      const size_t length = decode_utf8(piece, position).length;
      word.ids.push_back(ids.at(piece.substr(position, length)));
      position += length;
    }
    words.push_back(std::move(word));
  }
  return words;
}

/// The pair to merge next, with its count; the count is 0 where no pair is left.
std::pair<Pair, size_t> most_frequent(const std::vector<Word>& words) {
  std::map<Pair, size_t> counts;
  for (const Word& word : words) {
    for (size_t i = 1; i < word.ids.size(); ++i) {
      counts[{word.ids[i - 1], word.ids[i]}] += word.count;
    }
  }
  std::pair<Pair, size_t> best{};
  for (const auto& [pair, count] : counts) {
    if (count > best.second) best = {pair, count};
  }
  return best;
}

void merge(Word& word, const Pair& pair, size_t id) {
  size_t kept = 0;
  for (size_t i = 0; i < word.ids.size(); ++i) {
    const bool here = i + 1 < word.ids.size() && Pair{word.ids[i], word.ids[i + 1]} == pair;
    word.ids[kept++] = here ? id : word.ids[i];
    if (here) ++i;
  }
  word.ids.resize(kept);
}

}  // namespace

Json train_tokenizer(const std::vector<std::string>& texts, size_t merges) {
  std::vector<std::string> tokens = alphabet();
  std::vector<Word> words = count_words(texts, tokens);
  Json merge_list = Json::array();
  while (merge_list.size() < merges) {
    const auto [pair, count] = most_frequent(words);
    if (count < 2) break;
    const size_t id = tokens.size();
    // The form with a space between is the one that every version of `tokenizers` reads.
    merge_list.push_back(tokens[pair.first] + " " + tokens[pair.second]);
    tokens.push_back(tokens[pair.first] + tokens[pair.second]);
    for (Word& word : words) merge(word, pair, id);
  }
  Json vocabulary = Json::object();
  for (size_t id = 0; id < tokens.size(); ++id) vocabulary[tokens[id]] = id;
  const Json end_of_text = {{"id", kEndOfTextId}, {"content", kEndOfText}, {"single_word", false},
                            {"lstrip", false},    {"rstrip", false},       {"normalized", false},
                            {"special", true}};
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", Json::array({end_of_text})},
          {"normalizer", nullptr},
          {"pre_tokenizer", byte_level()},
          {"post_processor", nullptr},
          {"decoder", byte_level()},
          {"model",
           {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", nullptr},
            {"continuing_subword_prefix", nullptr},
            {"end_of_word_suffix", nullptr},
            {"fuse_unk", false},
            {"byte_fallback", false},
            {"vocab", vocabulary},
            {"merges", merge_list}}}};
}

Json tokenizer_configuration() {
  return {{"tokenizer_class", "PreTrainedTokenizerFast"},
          {"eos_token", kEndOfText},
          {"pad_token", kEndOfText},
          {"model_max_length", 512},
          {"clean_up_tokenization_spaces", false}};
}

}  // namespace sagesan::demo
