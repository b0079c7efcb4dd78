#include "sagesan/text/pre_tokenizer.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "sagesan/support/error.h"
#include "sagesan/support/utf8.h"
#include "sagesan/text/byte_level.h"
#include "sagesan/text/component.h"
#include "sagesan/text/metaspace.h"
#include "sagesan/text/pattern.h"
#include "sagesan/text/unicode.h"

namespace sagesan::tokenization {
namespace {

// The expression of GPT-2's encoder, which ByteLevel applies by itself.
constexpr std::string_view kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

Finder finder(Regex regex) {
  return [regex = std::move(regex)](std::string_view piece, std::vector<Span>& delimiters) {
    regex.find_all(piece, delimiters);
  };
}

/// Every single character of a kind is a delimiter.
Finder finder(bool (*is_delimiter)(char32_t)) {
  return [is_delimiter](std::string_view piece, std::vector<Span>& delimiters) {
    for (size_t position = 0; position < piece.size();) {
      const Utf8Character next = decode_utf8(piece, position);
      if (is_delimiter(next.code_point)) delimiters.push_back({position, position + next.length});
      position += next.length;
    }
  };
}

/// Runs of word characters, and runs of what is neither that nor white space.
void find_words(std::string_view piece, std::vector<Span>& words) {
  bool was_word = false;
  for (size_t position = 0; position < piece.size();) {
    const Utf8Character next = decode_utf8(piece, position);
    const size_t end = position + next.length;
    if (!is_space(next.code_point)) {
      const bool word = is_word(next.code_point);
      if (!words.empty() && words.back().end == position && word == was_word) {
        words.back().end = end;
      } else {
        words.push_back({position, end});
      }
      was_word = word;
    }
    position = end;
  }
}

PreTokenizer splitter(Finder find, Behavior behavior, bool invert = false) {
  return [find = std::move(find), behavior, invert](Pieces& pieces) {
    split_pieces(pieces, find, behavior, invert);
  };
}

/// Writes a space in front of every piece that does not begin with one.
void add_prefix_spaces(Pieces& pieces) {
  Pieces result{.text = {}, .spans = {}, .at_start = pieces.at_start};
  for (const Span& span : pieces.spans) {
    const std::string_view piece = pieces.piece(span);
    const size_t begin = result.text.size();
    if (!piece.starts_with(' ')) result.text += ' ';
    result.text += piece;
    result.spans.push_back({begin, result.text.size()});
  }
  pieces = std::move(result);
}

void write_byte_letters(Pieces& pieces) {
  std::string letters;
  letters.reserve(pieces.text.size() * 5 / 4);
  for (Span& span : pieces.spans) {
    const size_t begin = letters.size();
    append_byte_letters(letters, pieces.piece(span));
    span = {begin, letters.size()};
  }
  pieces.text = std::move(letters);
}

PreTokenizer byte_level(const Json& component, const std::string& where) {
  // trim_offsets concerns positions in the text, never ids.
  require_known_keys(component, where, {"type", "add_prefix_space", "trim_offsets", "use_regex"});
  const JsonObject object(component, where);
  const bool prefix = object.boolean_or("add_prefix_space", true);
  std::optional<Finder> find;
  if (object.boolean_or("use_regex", true)) find = finder(Regex::compile(kGpt2, where));
  return [prefix, find](Pieces& pieces) {
    if (prefix) add_prefix_spaces(pieces);
    if (find) split_pieces(pieces, *find, Behavior::kIsolated);
    write_byte_letters(pieces);
  };
}

PreTokenizer split(const Json& component, const std::string& where) {
  require_known_keys(component, where, {"type", "pattern", "behavior", "invert"});
  const JsonObject object(component, where);
  return splitter(finder(read_pattern(object.require("pattern"), where + ": pattern")),
                  parse_behavior(object.string("behavior"), where),
                  object.boolean_or("invert", false));
}

PreTokenizer digits(const Json& component, const std::string& where) {
  require_known_keys(component, where, {"type", "individual_digits"});
  const bool individual = JsonObject(component, where).boolean_or("individual_digits", false);
  return splitter(finder(is_numeric), individual ? Behavior::kIsolated : Behavior::kContiguous);
}

PreTokenizer punctuation(const Json& component, const std::string& where) {
  require_known_keys(component, where, {"type", "behavior"});
  const std::string behavior = JsonObject(component, where).string_or("behavior", "Isolated");
  return splitter(finder(is_punctuation), parse_behavior(behavior, where));
}

PreTokenizer read_one_pre_tokenizer(const std::string& type, const Json& pre_tokenizer,
                                    const std::string& where, bool placed) {
  if (type == "ByteLevel") return byte_level(pre_tokenizer, where);
  if (type == "Metaspace") return read_metaspace(pre_tokenizer, where, placed);
  if (type == "Split") return split(pre_tokenizer, where);
  if (type == "Digits") return digits(pre_tokenizer, where);
  if (type == "Punctuation") return punctuation(pre_tokenizer, where);
  if (type == "Whitespace" || type == "WhitespaceSplit") {
    require_known_keys(pre_tokenizer, where, {"type"});
    if (type == "Whitespace") return splitter(find_words, Behavior::kRemoved, true);
    return splitter(finder(is_space), Behavior::kRemoved);
  }
  refuse_type(where, type);
}

}  // namespace

PreTokenizer read_pre_tokenizer(const Json* pre_tokenizer, const std::string& where, bool placed) {
  std::vector<PreTokenizer> steps;  // in one list, so that one check sees how all let a text grow
  if (pre_tokenizer != nullptr) {
    for_each_step(*pre_tokenizer, where, "pretokenizers",
                  [&](const Json& step, const std::string& type, const std::string& place) {
                    steps.push_back(read_one_pre_tokenizer(type, step, place, placed));
                    // The others only cut.
                    placed = placed && type != "ByteLevel" && type != "Metaspace";
                  });
  }
  return [steps, where](Pieces& pieces) {
    const size_t before = pieces.text.size();
    for (const PreTokenizer& step : steps) {
      step(pieces);
      check_growth(before, pieces.text.size(), where);
    }
  };
}

}  // namespace sagesan::tokenization
