#include "sagesan/text/text_decoder.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <numeric>
#include <utility>

#include "sagesan/support/error.h"
#include "sagesan/support/utf8.h"
#include "sagesan/text/byte_level.h"
#include "sagesan/text/component.h"
#include "sagesan/text/normalizer.h"

namespace sagesan::tokenization {
namespace {

using Tokens = std::vector<std::string>;

std::string joined(const Tokens& pieces, std::string_view between = "") {
  std::string text;
  for (const std::string& piece : pieces) {
    if (&piece != &pieces.front()) text += between;
    text += piece;
  }
  return text;
}

/// `key`'s one character.
std::string read_character(const JsonObject& object, std::string_view key) {
  std::string text = object.string(key);
  if (text.empty() || decode_utf8(text, 0).length != text.size())
    object.fail(key, fmt::format("expected one character, found {}", quote(text)));
  return text;
}

/// A piece that is not all letters stands for its own bytes.
void restore_bytes(Tokens& pieces) {
  std::string bytes;
  for (const std::string& piece : pieces) {
    if (!append_letter_bytes(bytes, piece)) bytes += piece;
  }
  pieces = {replace_invalid_utf8(bytes)};
}

TextDecoder read_metaspace_decoder(const Json& component, const std::string& where) {
  require_known_keys(
      component, where,
      {"type", "replacement", "add_prefix_space", "prepend_scheme", "split", "str_rep"});
  const JsonObject object(component, where);
  const std::string mark = read_character(object, "replacement");
  const bool prepends = object.string_or("prepend_scheme", "always") != "never" &&
                        object.boolean_or("add_prefix_space", true);
  return [mark, prepends](Tokens& pieces) {
    for (std::string& piece : pieces) {
      // The mark in front was the encoder's own.
      piece = replace_all(piece, mark, prepends && &piece == &pieces.front() ? "" : " ");
    }
  };
}

/// The byte that a piece "<0x0A>" stands for, or -1.
int byte_of(std::string_view piece) {
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece.back() != '>') return -1;
  int byte = 0;
  for (const char c : piece.substr(3, 2)) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                             : -1;
    if (digit < 0) return -1;
    byte = 16 * byte + digit;
  }
  return byte;
}

/// Runs of bytes become text, or where they are none U+FFFD for each byte.
void byte_fallback(Tokens& pieces) {
  Tokens result;
  std::string bytes;
  const auto flush = [&] {
    if (find_invalid_utf8(bytes) == std::string::npos) {
      if (!bytes.empty()) result.push_back(bytes);
    } else {
      result.insert(result.end(), bytes.size(), "\xEF\xBF\xBD");
    }
    bytes.clear();
  };
  for (std::string& piece : pieces) {
    const int byte = byte_of(piece);
    if (byte >= 0) {
      bytes += static_cast<char>(byte);
      continue;
    }
    flush();
    result.push_back(std::move(piece));
  }
  flush();
  pieces = std::move(result);
}

TextDecoder read_strip(const Json& component, const std::string& where) {
  require_known_keys(component, where, {"type", "content", "start", "stop"});
  const JsonObject object(component, where);
  const std::string mark = read_character(object, "content");
  const int64_t start = object.integer_or("start", 0, 0);
  const int64_t stop = object.integer_or("stop", 0, 0);
  return [mark, start, stop](Tokens& pieces) {
    for (std::string& piece : pieces) {
      for (int64_t i = 0; i < start && piece.starts_with(mark); ++i) piece.erase(0, mark.size());
      for (int64_t i = 0; i < stop && piece.ends_with(mark); ++i)
        piece.resize(piece.size() - mark.size());
    }
  };
}

TextDecoder read_one_decoder(const std::string& type, const Json& decoder,
                             const std::string& where) {
  if (type == "ByteLevel") {
    require_known_keys(decoder, where, {"type", "add_prefix_space", "trim_offsets", "use_regex"});
    return restore_bytes;
  }
  if (type == "Metaspace") return read_metaspace_decoder(decoder, where);
  if (type == "Replace") {  // of each piece as of a text that is normalized
    return [replace = read_normalizer(&decoder, where)](Tokens& pieces) {
      for (std::string& piece : pieces) replace(piece);
    };
  }
  if (type == "ByteFallback") {
    require_known_keys(decoder, where, {"type"});
    return byte_fallback;
  }
  if (type == "Fuse") {
    require_known_keys(decoder, where, {"type"});
    return [](Tokens& pieces) { pieces = {joined(pieces)}; };
  }
  if (type == "Strip") return read_strip(decoder, where);
  refuse_type(where, type);
}

size_t total_size(const Tokens& pieces) {
  return std::accumulate(pieces.begin(), pieces.end(), size_t{0},
                         [](size_t sum, const std::string& piece) { return sum + piece.size(); });
}

}  // namespace

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string result;
  size_t done = 0;
  for (size_t at = text.find(from); at != text.npos; at = text.find(from, done)) {
    result.append(text.substr(done, at - done)).append(to);
    done = at + from.size();
  }
  return result.append(text.substr(done));
}

TextDecoder read_text_decoder(const Json* decoder, const std::string& where) {
  if (decoder == nullptr) return [](Tokens& pieces) { pieces = {joined(pieces, " ")}; };
  std::vector<TextDecoder> steps;  // in one list, so that one check sees how all let a text grow
  for_each_step(*decoder, where, "decoders",
                [&](const Json& step, const std::string& type, const std::string& place) {
                  steps.push_back(read_one_decoder(type, step, place));
                });
  return [steps, where](Tokens& pieces) {
    const size_t before = total_size(pieces);
    for (const TextDecoder& step : steps) {
      step(pieces);
      check_growth(before, total_size(pieces), where);
    }
  };
}

}  // namespace sagesan::tokenization
