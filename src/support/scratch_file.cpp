#include "sagesan/support/scratch_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>

#include "file_bytes.h"
#include "sagesan/support/error.h"

namespace sagesan {
namespace {

FileDescriptor open_nameless(const std::filesystem::path& directory) {
  FileDescriptor fd(::open(directory.c_str(), O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600));
  if (fd.get() >= 0 || (errno != EOPNOTSUPP && errno != EISDIR)) return fd;
  // Not every file system can do that.
  std::string name = (directory / ".scratch.XXXXXX").string();
  fd = FileDescriptor(::mkostemp(name.data(), O_CLOEXEC));
  if (fd.get() >= 0) ::unlink(name.c_str());
  return fd;
}

}  // namespace

ScratchFile::ScratchFile(std::filesystem::path directory, uint64_t size)
    : directory_(std::move(directory)), fd_(open_nameless(directory_)) {
  if (fd_.get() < 0) throw_errno(directory_.string(), "cannot create a scratch file there");
  reserve_space(fd_.get(), size, directory_);
}

void ScratchFile::read(uint64_t offset, std::span<std::byte> buffer) const {
  if (read_fully(fd_.get(), offset, buffer, directory_) < buffer.size())
    throw IoError(directory_.string(), "a scratch file there is shorter than it was");
}

void ScratchFile::write(uint64_t offset, std::span<const std::byte> bytes) {
  write_fully(fd_.get(), offset, bytes, directory_);
}

}  // namespace sagesan
