#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>

#include "sagesan/support/error.h"

namespace sagesan::testing {

/// A fresh directory, removed with all it holds at the end.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "sagesan_test_XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot create " + name);
    path_ = std::filesystem::canonical(name);
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::filesystem::path& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

inline void write_file(const std::filesystem::path& path, std::string_view content) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  file.close();
  if (!file) throw std::runtime_error("cannot write " + path.string());
}

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path.string());
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Every file below `directory` with its bytes, links with their targets and directories with
/// "(directory)": two equal ones show that nothing was changed. Empty where there is none.
inline std::map<std::string, std::string> snapshot(const std::filesystem::path& directory) {
  namespace fs = std::filesystem;
  std::map<std::string, std::string> result;
  if (!fs::exists(directory)) return result;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    const std::string name = fs::relative(entry.path(), directory).string();
    if (entry.is_symlink()) {
      result[name] = "-> " + fs::read_symlink(entry.path()).string();
    } else {
      result[name] = entry.is_directory() ? "(directory)" : read_file(entry.path());
    }
  }
  return result;
}

/// A number as the little-endian bytes of the safetensors format.
inline std::string little_endian(uint64_t value) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(value >> (8 * i) & 0xFF);
  return bytes;
}

/// A safetensors file byte by byte: the length of `header`, `header`, `data`.
inline std::string safetensors(std::string_view header, std::string_view data = "") {
  return little_endian(header.size()) + std::string(header) + std::string(data);
}

/// Runs `action`, which must throw an `E` whose message names `file`, holds `fragment` and is one
/// printable line. Returns the message.
template <typename E>
std::string expect_error(const std::function<void()>& action, const std::string& file,
                         const std::string& fragment) {
  try {
    action();
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_NE(dynamic_cast<const E*>(&error), nullptr) << "another type of error: " << message;
    EXPECT_NE(message.find(file), std::string::npos) << file << " is not named in: " << message;
    EXPECT_NE(message.find(fragment), std::string::npos)
        << "'" << fragment << "' is not in: " << message;
    for (const char c : message) {
      EXPECT_GE(static_cast<unsigned char>(c), 0x20) << "a control character in: " << message;
    }
    EXPECT_LT(message.size(), 2000U) << "too long: " << message.substr(0, 200);
    return message;
  } catch (const std::exception& error) {
    ADD_FAILURE() << "no sagesan::Error but: " << error.what();
    return "";
  }
  ADD_FAILURE() << "nothing was thrown; expected: " << fragment;
  return "";
}

inline std::string expect_input_error(const std::function<void()>& action, const std::string& file,
                                      const std::string& fragment) {
  return expect_error<InputError>(action, file, fragment);
}

inline std::string expect_io_error(const std::function<void()>& action, const std::string& file,
                                   const std::string& fragment) {
  return expect_error<IoError>(action, file, fragment);
}

}  // namespace sagesan::testing
