#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace sagesan {

/// Streaming xxh3-128 (xxHash): tells files apart, no protection against forgery.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;

  void add(std::span<const std::byte> bytes);
  /// The text with its length in front, so that neighbouring texts cannot run together.
  void add_text(std::string_view text);
  /// 32 hexadecimal digits, most significant first.
  std::string hex() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// xxh3-128 of these bytes, as `hash_file` has it of a file of them.
std::string hash_bytes(std::string_view bytes);
/// xxh3-128 of a file's bytes.
std::string hash_file(const std::filesystem::path& path);

}  // namespace sagesan
