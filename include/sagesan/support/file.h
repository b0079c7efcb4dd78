#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sagesan {

/// An owned file descriptor, closed at the end.
class FileDescriptor {
 public:
  explicit FileDescriptor(int fd = -1) : fd_(fd) {}
  ~FileDescriptor();
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(other.release()) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;
  int get() const { return fd_; }
  int release();

 private:
  int fd_;
};

/// A regular file opened for reading. Reads go through `pread` into the caller's buffer: inputs are
/// never mapped, so a file cut short while it is read is an error and not a signal.
class InputFile {
 public:
  /// Throws `IoError` where it cannot be opened and `InputError` where it is no regular file.
  explicit InputFile(std::filesystem::path path);

  const std::filesystem::path& path() const { return path_; }
  uint64_t size() const { return size_; }
  int descriptor() const { return fd_.get(); }

  /// Fills `buffer` from byte `offset`. Throws `InputError` where the file ends before that.
  void read(uint64_t offset, std::span<std::byte> buffer) const;
  /// Lets the kernel fetch these bytes from the disk while something else is computed.
  void will_read(uint64_t offset, uint64_t count) const;

 private:
  std::filesystem::path path_;
  FileDescriptor fd_;
  uint64_t size_ = 0;
};

/// A new file for writing; positions are explicit, so parts may come in any order. What is written
/// goes to the disk while something else is computed.
class OutputFile {
 public:
  /// Creates `path`, which must not exist, with `size` bytes reserved. Throws `IoError`.
  OutputFile(std::filesystem::path path, uint64_t size);

  void write(uint64_t offset, std::span<const std::byte> bytes);
  /// Copies `count` bytes inside the kernel where the file system can.
  void copy_from(const InputFile& source, uint64_t source_offset, uint64_t offset, uint64_t count);
  /// Forces the bytes to the disk and closes. Throws `IoError`; never retried after a failure.
  void finish();

 private:
  /// Counts what was written, and lets the kernel begin to bring much of it to the disk.
  void written(uint64_t bytes);

  std::filesystem::path path_;
  FileDescriptor fd_;
  uint64_t waiting_ = 0;
};

/// The whole of a regular file of at most `max_bytes`.
std::string read_text_file(const std::filesystem::path& path, uint64_t max_bytes);
/// Writes a new file and forces it to the disk.
void write_text_file(const std::filesystem::path& path, std::string_view text);
/// Copies a whole file to a new one and forces it to the disk.
void copy_to_new_file(const std::filesystem::path& from, const std::filesystem::path& to);
class AtomicFile;

/// A text that will take the place of a file, the one that a link points to, at once or not at all.
/// A device or a pipe is written to.
class TextReplacement {
 public:
  /// Writes it beside the file. Throws `IoError`.
  TextReplacement(std::filesystem::path path, std::string text);
  ~TextReplacement();
  TextReplacement(TextReplacement&& other) noexcept;
  /// Throws `IoError`; the file is what it was then (`AtomicFile::commit`).
  void commit();

 private:
  std::filesystem::path path_;
  std::string text_;
  std::unique_ptr<AtomicFile> file_;  ///< null for what is written to
};

/// Both at once.
void replace_text_file(const std::filesystem::path& path, std::string_view text);
/// Throws `IoError` where `replace_text_file` would fail (no such directory, no permission, a
/// directory) and `InputError` where it would touch one of `inputs`.
void check_text_file_target(const std::filesystem::path& path,
                            const std::vector<std::filesystem::path>& inputs);
/// `path` from the root, links followed as far as they can be, without a slash at the end.
std::filesystem::path resolve_path(const std::filesystem::path& path);
/// Throws `InputError` where `output` is, holds or lies in one of `inputs`, links followed.
void check_outside(const std::filesystem::path& output,
                   const std::vector<std::filesystem::path>& inputs);

/// What a file that is not what was expected really is, by its first bytes: "a git-LFS pointer",
/// "a zip archive", ...; empty where unknown.
std::string recognize_format(std::string_view first_bytes);

}  // namespace sagesan
