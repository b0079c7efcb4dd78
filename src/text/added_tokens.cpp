#include "sagesan/text/added_tokens.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "sagesan/support/error.h"
#include "sagesan/support/utf8.h"
#include "sagesan/text/component.h"
#include "sagesan/text/unicode.h"

namespace sagesan::tokenization {
namespace {

// The search takes at most this many steps a byte of text.
constexpr size_t kMaxContentBytes = 4096;

bool stands_alone(std::string_view before, std::string_view after) {
  return (before.empty() || !is_word(last_character(before))) &&
         (after.empty() || !is_word(decode_utf8(after, 0).code_point));
}

}  // namespace

AddedTokens::AddedTokens(const Json* list, const Model& model, const Normalizer& normalizer,
                         const std::string& where) {
  if (list == nullptr) return;
  if (!list->is_array()) {
    throw InputError(where, fmt::format("expected an array, found {}", list->type_name()));
  }
  const auto vocabulary_size = static_cast<int64_t>(model.vocabulary_size());
  std::map<std::string, int64_t> seen;
  std::vector<std::pair<bool, std::string>> order;  // special, content; by token
  for (size_t i = 0; i < list->size(); ++i) {
    const Json& item = (*list)[i];
    const std::string place = fmt::format("{}[{}]", where, i);
    const JsonObject object(item, place);
    require_known_keys(
        item, place, {"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"});
    const std::string content = object.string("content");
    const int64_t id = object.integer("id", 0, kMaxTokenId);
    if (content.empty()) object.fail("content", "is empty");
    if (content.size() > kMaxContentBytes) {
      object.fail("content", fmt::format("longer than {} bytes", kMaxContentBytes));
    }
    // A token outside the vocabulary gets the next free id, whatever the file says.
    const auto known = model.find(content);
    const int64_t expected =
        known ? *known : (largest_id_ >= vocabulary_size ? largest_id_ + 1 : vocabulary_size);
    if (!seen.emplace(content, id).second) object.fail("content", quote(content) + " stands twice");
    if (id != expected) {
      object.fail("id", fmt::format("{} has {}, but Hugging Face's tokenizers would give it {}",
                                    quote(content), id, expected));
    }
    largest_id_ = std::max(largest_id_, id);
    const bool special = object.boolean_or("special", false);
    tokens_.push_back({id, content, special, object.boolean_or("single_word", false),
                       object.boolean_or("lstrip", false), object.boolean_or("rstrip", false)});
    order.emplace_back(object.boolean_or("normalized", !special), content);
  }
  std::vector<std::pair<std::string_view, int32_t>> raw;
  std::map<std::string, int32_t> normalized;  // the first of those that become the same counts
  for (size_t i = 0; i < order.size(); ++i) {
    auto& [is_normalized, content] = order[i];
    const auto index = static_cast<int32_t>(i);
    if (!is_normalized) {
      raw.emplace_back(content, index);
    } else {
      normalizer(content);
      if (content.empty()) {
        throw InputError(fmt::format("{}[{}]", where, i), "nothing is left of it once normalized");
      }
      normalized.emplace(content, index);
      tokens_[i].content = content;
    }
  }
  raw_ = ByteTrie(std::move(raw));
  normalized_ = ByteTrie({normalized.begin(), normalized.end()});
}

void AddedTokens::split_raw(std::string_view text, std::vector<Segment>& segments) const {
  split(raw_, text, segments);
}

void AddedTokens::split_normalized(std::string_view text, std::vector<Segment>& segments) const {
  split(normalized_, text, segments);
}

void AddedTokens::split(const ByteTrie& trie, std::string_view text,
                        std::vector<Segment>& segments) const {
  size_t done = 0;       // end of the last segment
  size_t space_end = 0;  // end of the white space that was looked at last
  for (size_t position = trie.empty() ? text.size() : 0; position < text.size();) {
    size_t match_end = 0;
    int32_t index = -1;
    trie.prefixes(text, position, [&](size_t length, int32_t token) {
      index = token;
      match_end = position + length;
    });
    if (index < 0) {
      ++position;
      continue;
    }
    const Token& token = tokens_[static_cast<size_t>(index)];
    size_t begin = position;
    size_t end = match_end;
    position = match_end;  // also where the match is turned down: nothing inside it is looked at
    if (token.single_word && !stands_alone(text.substr(0, begin), text.substr(end))) continue;
    // White space is looked at once, or runs of tokens that strip it would take quadratic time.
    if (token.lstrip) {
      begin = begin < done ? done : begin - trailing_space(text.substr(done, begin - done));
    }
    if (token.rstrip) {
      if (end >= space_end) space_end = end + leading_space(text.substr(end));
      end = space_end;
    }
    if (begin >= end) continue;  // all of it is white space that the token before has taken
    if (done < begin) segments.push_back({{done, begin}, -1});
    segments.push_back({{begin, end}, token.id});
    done = end;
  }
  if (done < text.size()) segments.push_back({{done, text.size()}, -1});
}

}  // namespace sagesan::tokenization
