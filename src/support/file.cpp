#include "sagesan/support/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>
#include <vector>

#include "file_bytes.h"
#include "sagesan/support/atomic_file.h"
#include "sagesan/support/error.h"

namespace sagesan {

FileDescriptor::~FileDescriptor() {
  if (fd_ >= 0) ::close(fd_);
}

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = other.release();
  }
  return *this;
}

int FileDescriptor::release() { return std::exchange(fd_, -1); }

InputFile::InputFile(std::filesystem::path path) : path_(std::move(path)) {
  // O_NONBLOCK: opening a FIFO must not wait for a writer.
  fd_ = FileDescriptor(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd_.get() < 0) {
    if (errno == ENOENT) throw InputError(path_.string(), "no such file");
    throw_errno(path_.string(), "cannot open");
  }
  struct stat status {};
  if (::fstat(fd_.get(), &status) != 0) throw_errno(path_.string(), "cannot read its status");
  if (!S_ISREG(status.st_mode)) {
    throw InputError(path_.string(), S_ISDIR(status.st_mode) ? "is a directory, expected a file"
                                                             : "is no regular file");
  }
  size_ = static_cast<uint64_t>(status.st_size);
}

void reserve_space(int fd, uint64_t size, const std::filesystem::path& path) {
  if (size == 0) return;
  // Not glibc's `posix_fallocate`: where the file system cannot, it writes into every block.
  int reserved = 0;
  do {
    reserved = ::fallocate(fd, 0, 0, static_cast<off_t>(size));
  } while (reserved != 0 && errno == EINTR);
  if (reserved == 0 || errno == EOPNOTSUPP || errno == ENOSYS) return;
  throw_errno(path.string(), fmt::format("cannot reserve {} bytes", size));
}

size_t read_fully(int fd, uint64_t offset, std::span<std::byte> buffer,
                  const std::filesystem::path& path) {
  size_t done = 0;
  while (done < buffer.size()) {
    const ssize_t count =
        ::pread(fd, buffer.data() + done, buffer.size() - done, static_cast<off_t>(offset + done));
    if (count < 0) {
      if (errno == EINTR) continue;
      throw_errno(path.string(), "cannot read");
    }
    if (count == 0) break;
    done += static_cast<size_t>(count);
  }
  return done;
}

void write_fully(int fd, uint64_t offset, std::span<const std::byte> bytes,
                 const std::filesystem::path& path) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t count =
        ::pwrite(fd, bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
    if (count < 0) {
      if (errno == EINTR) continue;
      throw_errno(path.string(), "cannot write");
    }
    if (count == 0) {
      errno = ENOSPC;
      throw_errno(path.string(), "cannot write");
    }
    done += static_cast<size_t>(count);
  }
}

int rename_with(const std::filesystem::path& from, const std::filesystem::path& to,
                unsigned flags) {
  return static_cast<int>(
      ::syscall(SYS_renameat2, AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), flags));
}

bool lacks_rename_flag() { return errno == EINVAL || errno == ENOSYS || errno == ENOTSUP; }

void sync_directory(const std::filesystem::path& path) {
  const FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0) throw_errno(path.string(), "cannot open");
  if (::fsync(fd.get()) != 0) throw_errno(path.string(), "cannot write to the disk");
}

void InputFile::read(uint64_t offset, std::span<std::byte> buffer) const {
  const size_t done = read_fully(fd_.get(), offset, buffer, path_);
  if (done == buffer.size()) return;
  throw InputError(path_.string(), fmt::format("truncated: ends at byte {}, {} more expected",
                                               offset + done, buffer.size() - done));
}

void InputFile::will_read(uint64_t offset, uint64_t count) const {
  // A hint; where it is not taken, the bytes are fetched when they are read. Linux fetches no more
  // for one call than the device's read-ahead, 128 KiB where nobody set it.
  constexpr uint64_t kStep = uint64_t{128} << 10;
  for (uint64_t done = 0; done < count; done += kStep) {
    ::posix_fadvise(fd_.get(), static_cast<off_t>(offset + done),
                    static_cast<off_t>(std::min(kStep, count - done)), POSIX_FADV_WILLNEED);
  }
}

OutputFile::OutputFile(std::filesystem::path path, uint64_t size) : path_(std::move(path)) {
  fd_ = FileDescriptor(::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (fd_.get() < 0) throw_errno(path_.string(), "cannot create");
  reserve_space(fd_.get(), size, path_);
}

void OutputFile::write(uint64_t offset, std::span<const std::byte> bytes) {
  write_fully(fd_.get(), offset, bytes, path_);
  written(bytes.size());
}

void OutputFile::written(uint64_t bytes) {
  constexpr uint64_t kMostWaiting = uint64_t{8} << 20;
  waiting_ += bytes;
  if (waiting_ < kMostWaiting) return;
  waiting_ = 0;
  // It waits only where the device has more to do than it takes, and what fails behind it is told
  // by fsync.
  ::sync_file_range(fd_.get(), 0, 0, SYNC_FILE_RANGE_WRITE);
}

void OutputFile::copy_from(const InputFile& source, uint64_t source_offset, uint64_t offset,
                           uint64_t count) {
  auto from = static_cast<off64_t>(source_offset);
  auto to = static_cast<off64_t>(offset);
  while (count > 0) {
    const ssize_t copied = ::copy_file_range(source.descriptor(), &from, fd_.get(), &to, count, 0);
    if (copied < 0 && errno == EINTR) continue;
    if (copied <= 0) break;  // another file system, or too old a kernel: through memory instead
    count -= static_cast<uint64_t>(copied);
    written(static_cast<uint64_t>(copied));
  }
  constexpr size_t kBlock = size_t{4} << 20;
  std::vector<std::byte> block(std::min<uint64_t>(count, kBlock));
  while (count > 0) {
    const std::span<std::byte> part(block.data(), std::min<uint64_t>(count, kBlock));
    source.read(static_cast<uint64_t>(from), part);
    write(static_cast<uint64_t>(to), part);
    from += static_cast<off64_t>(part.size());
    to += static_cast<off64_t>(part.size());
    count -= part.size();
  }
}

void OutputFile::finish() {
  if (::fsync(fd_.get()) != 0) throw_errno(path_.string(), "cannot write to the disk");
  if (::close(fd_.release()) != 0) throw_errno(path_.string(), "cannot close");
}

std::string read_text_file(const std::filesystem::path& path, uint64_t max_bytes) {
  const InputFile file(path);
  if (file.size() > max_bytes) {
    throw InputError(path.string(),
                     fmt::format("{} bytes long; at most {} are read", file.size(), max_bytes));
  }
  std::string text(file.size(), '\0');
  file.read(0, std::as_writable_bytes(std::span(text)));
  return text;
}

void write_text_file(const std::filesystem::path& path, std::string_view text) {
  OutputFile file(path, 0);
  file.write(0, std::as_bytes(std::span(text)));
  file.finish();
}

void copy_to_new_file(const std::filesystem::path& from, const std::filesystem::path& to) {
  const InputFile source(from);
  OutputFile target(to, source.size());
  target.copy_from(source, 0, 0, source.size());
  target.finish();
}

namespace {

/// Whether something is there that only passes on what is written to it.
bool is_device_or_pipe(const std::filesystem::path& path) {
  std::error_code ignored;
  const auto status = std::filesystem::status(path, ignored);
  return std::filesystem::is_character_file(status) || std::filesystem::is_fifo(status);
}

/// What is to be replaced: where a link leads, or the file itself.
std::filesystem::path behind_link(const std::filesystem::path& path) {
  return std::filesystem::is_symlink(path) ? resolve_path(path) : path;
}

void write_through(const std::filesystem::path& path, std::string_view text) {
  const FileDescriptor fd(::open(path.c_str(), O_WRONLY | O_NOCTTY | O_CLOEXEC));
  if (fd.get() < 0) throw_errno(path.string(), "cannot open");
  while (!text.empty()) {
    const ssize_t count = ::write(fd.get(), text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw_errno(path.string(), "cannot write");
    text.remove_prefix(static_cast<size_t>(count));
  }
}

}  // namespace

TextReplacement::TextReplacement(std::filesystem::path path, std::string text)
    : path_(std::move(path)), text_(std::move(text)) {
  if (is_device_or_pipe(path_)) return;
  file_ = std::make_unique<AtomicFile>(behind_link(path_));
  write_text_file(file_->path(), text_);
}

TextReplacement::~TextReplacement() = default;
TextReplacement::TextReplacement(TextReplacement&&) noexcept = default;

void TextReplacement::commit() {
  if (file_ == nullptr) return write_through(path_, text_);
  file_->commit(true);
}

void replace_text_file(const std::filesystem::path& path, std::string_view text) {
  TextReplacement(path, std::string(text)).commit();
}

std::filesystem::path resolve_path(const std::filesystem::path& path) {
  std::error_code failed;
  // `weakly_canonical` leaves a path relative of whose parts none exists, and a link to nothing.
  std::filesystem::path whole = std::filesystem::absolute(path);
  constexpr int kMostLinks = 40;  // as many as the kernel follows
  for (int i = 0; i < kMostLinks && std::filesystem::is_symlink(whole, failed) &&
                  !std::filesystem::exists(whole, failed);
       ++i)
    whole = whole.parent_path() / std::filesystem::read_symlink(whole, failed);
  auto resolved = std::filesystem::weakly_canonical(whole, failed);
  if (failed) resolved = whole.lexically_normal();
  return resolved.has_filename() ? resolved : resolved.parent_path();
}

void check_outside(const std::filesystem::path& output,
                   const std::vector<std::filesystem::path>& inputs) {
  const auto is_inside = [](const std::filesystem::path& inner,
                            const std::filesystem::path& outer) {
    return std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end()).first ==
           outer.end();
  };
  const auto target = resolve_path(output);
  for (const std::filesystem::path& input : inputs) {
    const auto source = resolve_path(input);
    if (is_inside(target, source) || is_inside(source, target)) {
      throw InputError(output.string(),
                       fmt::format("must lie outside {}, which this run reads or writes",
                                   printable(input.string())));
    }
  }
}

void check_text_file_target(const std::filesystem::path& path,
                            const std::vector<std::filesystem::path>& inputs) {
  check_outside(path, inputs);
  if (is_device_or_pipe(path)) return;
  if (std::filesystem::exists(path) && !std::filesystem::is_regular_file(path)) {
    throw IoError(path.string(), std::filesystem::is_directory(path)
                                     ? "is a directory, expected a file name"
                                     : "is no regular file");
  }
  const std::filesystem::path parent = std::filesystem::absolute(behind_link(path)).parent_path();
  if (!std::filesystem::is_directory(parent)) throw IoError(parent.string(), "no such directory");
  if (::access(parent.c_str(), W_OK | X_OK) != 0)
    throw_errno(parent.string(), "cannot write into it");
}

std::string recognize_format(std::string_view first_bytes) {
  const std::pair<std::string_view, const char*> formats[] = {
      {"version https://git-lfs", "a git-LFS pointer (run 'git lfs pull' to get the file itself)"},
      {"GGUF", "a GGUF file (convert it to safetensors)"},
      {"PK\x03\x04", "a zip archive or a PyTorch pickle (name that .pt, .pth or .bin)"},
      {"\x80\x02", "a PyTorch pickle (name it .pt, .pth or .bin)"},
      {"\x89HDF", "an HDF5 file (convert it to safetensors)"},
      {"\x1F\x8B", "gzip-compressed (unpack it first)"},
      {"<!DOCTYPE", "an HTML page (the download failed)"},
      {"<!doctype", "an HTML page (the download failed)"},
      {"<html", "an HTML page (the download failed)"},
  };
  for (const auto& [prefix, name] : formats) {
    if (first_bytes.starts_with(prefix)) return name;
  }
  return "";
}

}  // namespace sagesan
