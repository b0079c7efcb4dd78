#include "sagesan/text/unigram.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "sagesan/support/error.h"
#include "sagesan/support/utf8.h"
#include "sagesan/text/component.h"

namespace sagesan::tokenization {
namespace {

constexpr double kUnknownPenalty = 10;

}  // namespace

Unigram::Unigram(const Json& model, const std::string& where) : where_(where) {
  require_known_keys(model, where, {"type", "vocab", "unk_id", "byte_fallback"});
  const JsonObject object(model, where);
  read_vocabulary(object.require("vocab"), where + ": vocab");
  if (object.find("unk_id") != nullptr) {
    unknown_ = static_cast<int32_t>(object.integer("unk_id", 0, largest_id()));
  }
  if (object.boolean_or("byte_fallback", false)) bytes_.emplace(*this);
}

void Unigram::read_vocabulary(const Json& vocabulary, const std::string& where) {
  if (!vocabulary.is_array() || vocabulary.empty()) {
    throw InputError(where, "expected a list of tokens and scores that is not empty");
  }
  if (vocabulary.size() > static_cast<size_t>(kMaxTokenId)) throw InputError(where, "too long");
  double lowest = std::numeric_limits<double>::infinity();
  for (const Json& entry : vocabulary) {
    if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() || !entry[1].is_number()) {
      throw InputError(fmt::format("{}[{}]", where, scores_.size()),
                       "expected a token and a score");
    }
    // Of a token that stands twice the last one counts, as in Hugging Face's reader.
    vocabulary_.insert_or_assign(entry[0].get<std::string>(), static_cast<int32_t>(scores_.size()));
    scores_.push_back(entry[1].get<double>());
    lowest = std::min(lowest, scores_.back());
  }
  unknown_score_ = lowest - kUnknownPenalty;
  std::vector<std::pair<std::string_view, int32_t>> entries;
  entries.reserve(vocabulary_.size());
  for (const auto& [token, id] : vocabulary_) {
    if (!token.empty()) entries.emplace_back(token, id);
  }
  trie_ = ByteTrie(std::move(entries));
}

std::optional<int32_t> Unigram::find(std::string_view token) const {
  const auto found = vocabulary_.find(token);
  if (found == vocabulary_.end()) return std::nullopt;
  return found->second;
}

int32_t Unigram::unknown() const {
  if (!unknown_)
    throw InputError(where_, "a text needs an unknown token, but there is no 'unk_id'");
  return *unknown_;
}

void Unigram::append(std::string_view stretch, std::vector<int64_t>& ids) const {
  if (const auto id = find(stretch)) {
    ids.push_back(*id);
  } else if (!bytes_ || !bytes_->append(stretch, ids)) {
    ids.push_back(unknown());
  }
}

void Unigram::encode(std::string_view piece, std::vector<int64_t>& ids) const {
  // The best way to reach each byte: its score, its last token, and where that one begins.
  struct Reached {
    double score = 0;
    int32_t id = -1;  // -1: not reached yet
    size_t begin = 0;
  };
  thread_local std::vector<Reached> reached;
  reached.assign(piece.size() + 1, {});
  for (size_t begin = 0; begin < piece.size();) {
    const size_t character = decode_utf8(piece, begin).length;
    bool has_character = false;
    const auto reach = [&, score = reached[begin].score](size_t length, double gain, int32_t id) {
      Reached& target = reached[begin + length];
      if (target.id < 0 || score + gain > target.score) target = {score + gain, id, begin};
    };
    trie_.prefixes(piece, begin, [&](size_t length, int32_t id) {
      reach(length, scores_[static_cast<size_t>(id)], id);
      has_character = has_character || length == character;
    });
    if (!has_character) reach(character, unknown_score_, unknown());
    begin += character;
  }
  // Back from the end; neighbouring unknown tokens make one stretch.
  thread_local std::vector<std::string_view> stretches;
  stretches.clear();
  bool after_unknown = false;
  for (size_t end = piece.size(); end > 0; end = reached[end].begin) {
    const size_t begin = reached[end].begin;
    const bool is_unknown = unknown_ && reached[end].id == *unknown_;
    if (is_unknown && after_unknown) {
      std::string_view& last = stretches.back();
      last = piece.substr(begin, end - begin + last.size());
    } else {
      stretches.push_back(piece.substr(begin, end - begin));
    }
    after_unknown = is_unknown;
  }
  std::reverse(stretches.begin(), stretches.end());
  for (const std::string_view stretch : stretches) append(stretch, ids);
}

}  // namespace sagesan::tokenization
