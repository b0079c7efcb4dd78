#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace sagesan {

using Json = nlohmann::json;

/// Parses one JSON value, stricter than the library: no byte-order mark, NUL byte, trailing text,
/// duplicate key, integer outside 64 bits, invalid UTF-8 or nesting past 128 levels.
/// `where` (a file, or file and line) opens the message of the `InputError` thrown otherwise.
Json parse_json(std::string_view text, const std::string& where);

/// The same with objects that keep the order of the file, which takes time by the square of their
/// keys: more than 16,384 in one object are refused.
nlohmann::ordered_json parse_ordered_json(std::string_view text, const std::string& where);

/// `parse_json` of a whole file of at most `max_bytes`. Throws `IoError` where it cannot be read.
Json read_json_file(const std::filesystem::path& path, uint64_t max_bytes = uint64_t{1} << 30);
/// An empty object where there is no such file.
Json read_optional_json_file(const std::filesystem::path& path,
                             uint64_t max_bytes = uint64_t{1} << 30);

/// Reads typed members of one JSON object. Every error is an `InputError` that names `where` and
/// the key, the type or range that was expected and what was found.
class JsonObject {
 public:
  /// Throws where `value` is no object. `value` must outlive this.
  JsonObject(const Json& value, std::string where);

  /// The member, or null where it is absent or null.
  const Json* find(std::string_view key) const;
  const Json& require(std::string_view key) const;
  /// Whether the key stands there, be it with null.
  bool contains(std::string_view key) const;

  int64_t integer(std::string_view key, int64_t least = 1,
                  int64_t most = std::numeric_limits<int64_t>::max()) const;
  int64_t integer_or(std::string_view key, int64_t otherwise, int64_t least = 1,
                     int64_t most = std::numeric_limits<int64_t>::max()) const;
  /// A finite number; integers are numbers too.
  double number(std::string_view key) const;
  double number_or(std::string_view key, double otherwise) const;
  bool boolean_or(std::string_view key, bool otherwise) const;
  std::string string(std::string_view key) const;
  std::string string_or(std::string_view key, std::string otherwise) const;

  [[noreturn]] void fail(std::string_view key, const std::string& message) const;
  const std::string& where() const { return where_; }

 private:
  const Json& value_;
  std::string where_;
};

}  // namespace sagesan
