#include "sagesan/text/bpe.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_set>
#include <utility>

#include "sagesan/support/error.h"
#include "sagesan/support/utf8.h"
#include "sagesan/text/component.h"

namespace sagesan::tokenization {
namespace {

void refuse_unless_absent(const JsonObject& model, std::string_view key) {
  if (!model.string_or(key, "").empty()) model.fail(key, "is not supported");
}

std::pair<std::string, std::string> read_pair(const Json& merge, const std::string& where) {
  if (merge.is_string()) {
    const auto& text = merge.get_ref<const std::string&>();
    const size_t space = text.find(' ');
    if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos) {
      throw InputError(
          where, fmt::format("expected two tokens with one space between, found {}", quote(text)));
    }
    return {text.substr(0, space), text.substr(space + 1)};
  }
  if (!merge.is_array() || merge.size() != 2 || !merge[0].is_string() || !merge[1].is_string()) {
    throw InputError(where, "expected a text or a pair of texts");
  }
  return {merge[0].get<std::string>(), merge[1].get<std::string>()};
}

}  // namespace

Bpe::Bpe(const Json& model, const std::string& where) {
  require_known_keys(
      model, where,
      {"type", "vocab", "merges", "dropout", "unk_token", "continuing_subword_prefix",
       "end_of_word_suffix", "fuse_unk", "byte_fallback", "ignore_merges"});
  const JsonObject object(model, where);
  refuse_unless_absent(object, "continuing_subword_prefix");
  refuse_unless_absent(object, "end_of_word_suffix");
  if (object.number_or("dropout", 0) != 0) {
    object.fail("dropout", "is not supported: it makes the ids random");
  }
  fuse_unknown_ = object.boolean_or("fuse_unk", false);
  ignore_merges_ = object.boolean_or("ignore_merges", false);
  read_vocabulary(object.require("vocab"), where + ": vocab");
  read_merges(object.require("merges"), where + ": merges");
  if (object.find("unk_token") != nullptr) {
    const std::string token = object.string("unk_token");
    unknown_ = find(token);
    if (!unknown_) object.fail("unk_token", quote(token) + " is not in the vocabulary");
  }
  if (object.boolean_or("byte_fallback", false)) bytes_.emplace(*this);
}

void Bpe::read_vocabulary(const Json& vocabulary, const std::string& where) {
  const JsonObject object(vocabulary, where);
  if (vocabulary.empty()) throw InputError(where, "empty");
  vocabulary_.reserve(vocabulary.size());
  short_characters_.fill(-1);
  std::unordered_set<int64_t> seen;
  for (const auto& item : vocabulary.items()) {
    const int64_t id = object.integer(item.key(), 0, kMaxTokenId);
    if (!seen.insert(id).second) object.fail(item.key(), fmt::format("the id {} stands twice", id));
    largest_id_ = std::max(largest_id_, id);
    vocabulary_.emplace(item.key(), static_cast<int32_t>(id));
    add_short_character(item.key(), static_cast<int32_t>(id));
  }
}

void Bpe::add_short_character(std::string_view token, int32_t id) {
  if (token.empty()) return;
  const Utf8Character first = decode_utf8(token, 0);
  if (first.length == token.size() && first.code_point < short_characters_.size()) {
    short_characters_[first.code_point] = id;
  }
}

void Bpe::read_merges(const Json& merges, const std::string& where) {
  if (!merges.is_array()) {
    throw InputError(where, fmt::format("expected an array, found {}", merges.type_name()));
  }
  merges_ = MergeTable(merges.size());
  int32_t rank = 0;
  for (size_t i = 0; i < merges.size(); ++i) {
    // The header line of merges.txt, which some converters left in the list.
    if (merges[i].is_string() && merges[i].get_ref<const std::string&>().starts_with("#version")) {
      continue;
    }
    const std::string place = fmt::format("{}[{}]", where, i);
    const auto [left, right] = read_pair(merges[i], place);
    const auto id_of = [&](const std::string& token) {
      const std::optional<int32_t> id = find(token);
      if (!id) throw InputError(place, quote(token) + " is not in the vocabulary");
      return *id;
    };
    const int32_t left_id = id_of(left);
    const int32_t right_id = id_of(right);
    merges_.set(left_id, right_id, {rank++, id_of(left + right)});
  }
}

std::optional<int32_t> Bpe::find(std::string_view token) const {
  const auto found = vocabulary_.find(token);
  if (found == vocabulary_.end()) return std::nullopt;
  return found->second;
}

int32_t Bpe::find_character(std::string_view character, char32_t code_point) const {
  if (code_point < short_characters_.size()) return short_characters_[code_point];
  return find(character).value_or(-1);
}

void Bpe::append_symbols(std::string_view word, std::vector<int32_t>& symbols) const {
  bool pending = false;  // an unknown token that following unknown characters may join
  for (size_t position = 0; position < word.size();) {
    const Utf8Character next = decode_utf8(word, position);
    const std::string_view character = word.substr(position, next.length);
    position += next.length;
    if (const int32_t id = find_character(character, next.code_point); id >= 0) {
      if (std::exchange(pending, false)) symbols.push_back(*unknown_);
      symbols.push_back(id);
      continue;
    }
    if (bytes_ && bytes_->append(character, symbols)) continue;
    if (!unknown_) continue;
    if (pending && !fuse_unknown_) symbols.push_back(*unknown_);
    pending = true;
  }
  if (pending) symbols.push_back(*unknown_);
}

void Bpe::encode(std::string_view word, std::vector<int64_t>& ids) const {
  if (ignore_merges_) {
    if (const auto id = find(word)) {
      ids.push_back(*id);
      return;
    }
  }
  thread_local std::vector<int32_t> symbols;
  symbols.clear();
  append_symbols(word, symbols);
  merge(symbols, ids);
}

void Bpe::merge(const std::vector<int32_t>& symbols, std::vector<int64_t>& ids) const {
  // A doubly linked list of the symbols that are left, and a heap of the merges that were possible
  // when they were pushed: the lowest rank first, of equal ranks the leftmost.
  struct Node {
    int32_t id;  // -1: merged into its left neighbour
    int32_t previous;
    int32_t next;
  };
  struct Candidate {
    int32_t rank;
    int32_t position;
    int32_t id;
    bool operator<(const Candidate& other) const {  // the heap keeps the largest on top
      return rank != other.rank ? rank > other.rank : position > other.position;
    }
  };
  thread_local std::vector<Node> nodes;
  thread_local std::vector<Candidate> heap;
  nodes.clear();
  heap.clear();

  const auto count = static_cast<int32_t>(symbols.size());
  for (int32_t i = 0; i < count; ++i) {
    nodes.push_back({symbols[i], i - 1, i + 1 < count ? i + 1 : -1});
    if (i == 0) continue;
    const Merge merge = merges_.find(symbols[i - 1], symbols[i]);
    if (merge.rank >= 0) heap.push_back({merge.rank, i - 1, merge.id});
  }
  std::make_heap(heap.begin(), heap.end());

  const auto push = [&](int32_t position) {
    const Node& left = nodes[position];
    const Merge merge = merges_.find(left.id, nodes[left.next].id);
    if (merge.rank < 0) return;
    heap.push_back({merge.rank, position, merge.id});
    std::push_heap(heap.begin(), heap.end());
  };
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end());
    const Candidate best = heap.back();
    heap.pop_back();
    Node& left = nodes[best.position];
    if (left.id < 0 || left.next < 0) continue;
    Node& right = nodes[left.next];
    // A candidate is stale where one of its two symbols has been merged since.
    if (merges_.find(left.id, right.id).id != best.id) continue;
    left.id = best.id;
    left.next = right.next;
    right.id = -1;
    if (left.next >= 0) nodes[left.next].previous = best.position;
    if (left.previous >= 0) push(left.previous);
    if (left.next >= 0) push(best.position);
  }
  for (const Node& node : nodes) {
    if (node.id >= 0) ids.push_back(node.id);
  }
}

}  // namespace sagesan::tokenization
