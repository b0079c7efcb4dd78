#include "sagesan/support/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "helpers/files.h"
#include "sagesan/support/atomic_file.h"

namespace sagesan {
namespace {

using testing::expect_input_error;
using testing::expect_io_error;
using testing::TemporaryDirectory;

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

std::string read_part(const InputFile& file, uint64_t offset, size_t size) {
  std::string part(size, '\0');
  file.read(offset, std::as_writable_bytes(std::span(part)));
  return part;
}

TEST(InputFile, ReadsAnyPart) {
  const TemporaryDirectory directory;
  testing::write_file(directory / "a", "0123456789");
  const InputFile file(directory / "a");
  EXPECT_EQ(file.size(), 10U);
  EXPECT_EQ(read_part(file, 0, 10), "0123456789");
  EXPECT_EQ(read_part(file, 7, 3), "789");
  EXPECT_EQ(read_part(file, 10, 0), "");
}

size_t page_size() { return static_cast<size_t>(::sysconf(_SC_PAGESIZE)); }

/// Pages of the file that are in memory.
size_t pages_in_memory(const std::filesystem::path& path, size_t size) {
  const FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  void* const mapped = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd.get(), 0);
  if (mapped == MAP_FAILED) throw std::runtime_error("cannot map " + path.string());
  std::vector<unsigned char> pages(size / page_size());
  const int failed = ::mincore(mapped, size, pages.data());
  ::munmap(mapped, size);
  if (failed != 0) throw std::runtime_error("mincore failed");
  return static_cast<size_t>(
      std::count_if(pages.begin(), pages.end(), [](unsigned char page) { return page % 2 == 1; }));
}

TEST(InputFile, FetchesWhatWillBeRead) {
  const TemporaryDirectory directory;
  constexpr size_t kSize = size_t{48} << 20;
  write_text_file(directory / "a", std::string(kSize, 'x'));
  const InputFile file(directory / "a");
  ::posix_fadvise(file.descriptor(), 0, 0, POSIX_FADV_DONTNEED);
  if (pages_in_memory(directory / "a", kSize) > 0) GTEST_SKIP() << "a file system in memory";
  file.will_read(0, kSize / 2);
  const size_t half = kSize / 2 / page_size();
  size_t found = 0;
  for (int i = 0; i < 1000 && found < half; ++i) {
    ::usleep(10'000);
    found = pages_in_memory(directory / "a", kSize);
  }
  EXPECT_GE(found, half);
  EXPECT_LT(found, 2 * half);
}

TEST(InputFile, PastTheEndIsTruncated) {
  const TemporaryDirectory directory;
  testing::write_file(directory / "a", "0123456789");
  const InputFile file(directory / "a");
  expect_input_error([&] { read_part(file, 8, 5); }, (directory / "a").string(),
                     "truncated: ends at byte 10, 3 more expected");
}

TEST(InputFile, CutShortAfterOpeningIsAnErrorAndNoSignal) {
  const TemporaryDirectory directory;
  testing::write_file(directory / "a", std::string(10000, 'x'));
  const InputFile file(directory / "a");
  std::filesystem::resize_file(directory / "a", 100);
  expect_input_error([&] { read_part(file, 0, 10000); }, (directory / "a").string(),
                     "truncated: ends at byte 100, 9900 more expected");
}

TEST(InputFile, WhatIsNoRegularFileIsRefused) {
  const TemporaryDirectory directory;
  expect_input_error([&] { InputFile(directory / "missing"); }, (directory / "missing").string(),
                     "no such file");
  expect_input_error([&] { InputFile(directory.path()); }, directory.path().string(),
                     "is a directory, expected a file");
  expect_input_error([&] { InputFile("/dev/null"); }, "/dev/null", "is no regular file");
  // Must not wait for a writer.
  ASSERT_EQ(::mkfifo((directory / "fifo").c_str(), 0600), 0);
  expect_input_error([&] { InputFile(directory / "fifo"); }, (directory / "fifo").string(),
                     "is no regular file");
}

TEST(InputFile, UnusablePathIsAnIoError) {
  const TemporaryDirectory directory;
  std::filesystem::create_symlink("loop", directory / "loop");
  expect_io_error([&] { InputFile(directory / "loop"); }, (directory / "loop").string(),
                  "cannot open: Too many levels of symbolic links");
}

TEST(InputFile, NamesOfStrangersAreEscaped) {
  expect_input_error([] { InputFile("/tmp/x\n\x1B[31m.safetensors"); }, "/tmp/x", "no such file");
}

TEST(OutputFile, WritesInAnyOrder) {
  const TemporaryDirectory directory;
  OutputFile file(directory / "a", 6);
  file.write(3, bytes_of("def"));
  file.write(0, bytes_of("abc"));
  file.finish();
  EXPECT_EQ(testing::read_file(directory / "a"), "abcdef");
}

TEST(OutputFile, NeverReplacesAFile) {
  const TemporaryDirectory directory;
  testing::write_file(directory / "a", "old");
  expect_io_error([&] { OutputFile(directory / "a", 3); }, (directory / "a").string(),
                  "cannot create: File exists");
  std::filesystem::create_symlink("elsewhere", directory / "link");
  expect_io_error([&] { OutputFile(directory / "link", 3); }, (directory / "link").string(),
                  "cannot create: File exists");
  EXPECT_EQ(testing::read_file(directory / "a"), "old");
  EXPECT_FALSE(std::filesystem::exists(directory / "elsewhere"));
}

TEST(OutputFile, MissingDirectory) {
  const TemporaryDirectory directory;
  expect_io_error([&] { OutputFile(directory / "none/a", 3); }, (directory / "none/a").string(),
                  "cannot create: No such file or directory");
}

TEST(OutputFile, CopiesParts) {
  const TemporaryDirectory directory;
  const std::string text = "0123456789";
  testing::write_file(directory / "source", text);
  const InputFile source(directory / "source");
  OutputFile file(directory / "a", 6);
  file.write(0, bytes_of("ab"));
  file.copy_from(source, 4, 2, 4);
  file.finish();
  EXPECT_EQ(testing::read_file(directory / "a"), "ab4567");
}

TEST(OutputFile, CopyingASourceThatWasCutShortFails) {
  const TemporaryDirectory directory;
  testing::write_file(directory / "source", std::string(1000, 'x'));
  const InputFile source(directory / "source");
  std::filesystem::resize_file(directory / "source", 10);
  OutputFile file(directory / "a", 1000);
  expect_input_error([&] { file.copy_from(source, 0, 0, 1000); }, (directory / "source").string(),
                     "truncated: ends at byte 10, 990 more expected");
}

TEST(OutputFile, FullDeviceIsAnIoError) {
  // /dev/full exists, so it cannot be created; what it answers is tested through text files.
  expect_io_error([] { OutputFile("/dev/full", 0); }, "/dev/full", "cannot create: File exists");
}

TEST(TextFile, RoundTrip) {
  const TemporaryDirectory directory;
  write_text_file(directory / "a", "hello\n");
  EXPECT_EQ(read_text_file(directory / "a", 6), "hello\n");
  write_text_file(directory / "empty", "");
  EXPECT_EQ(read_text_file(directory / "empty", 0), "");
}

TEST(ReplaceTextFile, ReplacesAndLeavesNothingElse) {
  const TemporaryDirectory directory;
  replace_text_file(directory / "a", "one");
  replace_text_file(directory / "a", "two");
  EXPECT_EQ(testing::snapshot(directory.path()),
            (std::map<std::string, std::string>{{"a", "two"}}));
}

TEST(AtomicFile, TwoForOneTargetDoNotMeet) {
  const TemporaryDirectory directory;
  AtomicFile first(directory / "a");
  write_text_file(first.path(), "first");
  AtomicFile second(directory / "a");
  write_text_file(second.path(), "second");
  first.commit(true);
  EXPECT_EQ(testing::read_file(directory / "a"), "first");
  second.commit(true);
  EXPECT_EQ(testing::snapshot(directory.path()),
            (std::map<std::string, std::string>{{"a", "second"}}));
}

TEST(AtomicFile, WhatKilledRunsLeftGoes) {
  const TemporaryDirectory directory;
  const pid_t ended = ::fork();
  if (ended == 0) ::_exit(0);
  ASSERT_EQ(::waitpid(ended, nullptr, 0), ended);
  const auto name = [&](const std::string& target, pid_t process, const std::string& ending) {
    return directory / (target + "." + std::to_string(process) + ending);
  };
  const std::vector<std::filesystem::path> strangers = {
      name("ab", ended, ".0.partial"),     name("a", ended, ".partial"),
      name("a", ended, ".0.part"),         name("a", ended, ".0x.partial"),
      directory / "a.b.0.partial",         directory / "a.partial",
      name("a", ::getppid(), ".0.partial")};
  for (const auto& stranger : strangers) testing::write_file(stranger, "");
  testing::write_file(name("a", ended, ".0.partial"), "");
  testing::write_file(name("a", ended, ".17.partial"), "");
  replace_text_file(directory / "a", "one");
  EXPECT_EQ(testing::snapshot(directory.path()).size(), strangers.size() + 1);
  for (const auto& stranger : strangers) EXPECT_TRUE(std::filesystem::exists(stranger)) << stranger;
}

TEST(ReplaceTextFile, FailureLeavesNothing) {
  const TemporaryDirectory directory;
  std::filesystem::create_directory(directory / "a");
  expect_io_error([&] { replace_text_file(directory / "a", "one"); }, (directory / "a").string(),
                  "cannot replace: Is a directory");
  EXPECT_EQ(testing::snapshot(directory.path()),
            (std::map<std::string, std::string>{{"a", "(directory)"}}));
}

TEST(ReplaceTextFile, FollowsLinksAndWritesToPipes) {
  const TemporaryDirectory directory;
  std::filesystem::create_directory(directory / "elsewhere");
  testing::write_file(directory / "elsewhere/report", "old");
  for (const char* name : {"report", "new"}) {
    std::filesystem::create_symlink(std::filesystem::path("elsewhere") / name, directory / name);
    EXPECT_NO_THROW(check_text_file_target(directory / name, {}));
    replace_text_file(directory / name, "text");
    EXPECT_TRUE(std::filesystem::is_symlink(directory / name));
    EXPECT_EQ(testing::read_file(directory / "elsewhere" / name), "text");
  }
  const std::filesystem::path pipe = directory / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_NO_THROW(check_text_file_target(pipe, {}));
  const FileDescriptor reader(::open(pipe.c_str(), O_RDONLY | O_NONBLOCK));
  replace_text_file(pipe, "text");
  char text[8] = {};
  EXPECT_EQ(::read(reader.get(), text, sizeof text), 4);
  EXPECT_STREQ(text, "text");
  EXPECT_TRUE(std::filesystem::is_fifo(pipe));
  std::filesystem::create_symlink("none/report", directory / "dangling");
  expect_io_error([&] { check_text_file_target(directory / "dangling", {}); },
                  std::filesystem::canonical(directory.path()).string() + "/none",
                  "no such directory");
}

TEST(CheckTextFileTarget, NamesWhatIsWrong) {
  const TemporaryDirectory directory;
  EXPECT_NO_THROW(check_text_file_target(directory / "report.json", {}));
  expect_io_error([&] { check_text_file_target(directory.path(), {}); }, directory.path().string(),
                  "is a directory, expected a file name");
  expect_io_error([&] { check_text_file_target(directory / "none/report.json", {}); },
                  (directory / "none").string(), "no such directory");
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
}

TEST(ResolvePath, GoesFromTheRootWhateverExists) {
  const TemporaryDirectory directory;
  const std::filesystem::path before = std::filesystem::current_path();
  const std::filesystem::path here = std::filesystem::canonical(directory.path());
  std::filesystem::create_directory_symlink(".", here / "link");
  std::filesystem::current_path(here);
  std::vector<std::filesystem::path> found;
  for (const char* path : {"new", "./new", "new/", "link/new"}) found.push_back(resolve_path(path));
  const std::filesystem::path deep = resolve_path("none/new");
  EXPECT_THROW(check_outside("new", {"."}), InputError);
  EXPECT_NO_THROW(check_outside("new", {"newer"}));
  std::filesystem::current_path(before);
  for (const std::filesystem::path& path : found) EXPECT_EQ(path, here / "new");
  EXPECT_EQ(deep, here / "none/new");
}

TEST(RecognizeFormat, NamesTheRealFormat) {
  EXPECT_EQ(recognize_format("version https://git-lfs.github.com/spec/v1\noid"),
            "a git-LFS pointer (run 'git lfs pull' to get the file itself)");
  EXPECT_EQ(recognize_format("GGUF\x03"), "a GGUF file (convert it to safetensors)");
  EXPECT_EQ(recognize_format("PK\x03\x04"),
            "a zip archive or a PyTorch pickle (name that .pt, .pth or .bin)");
  EXPECT_EQ(recognize_format("<!DOCTYPE html>"), "an HTML page (the download failed)");
  EXPECT_EQ(recognize_format("\x1F\x8B\x08"), "gzip-compressed (unpack it first)");
  EXPECT_EQ(recognize_format("{\"a\""), "");
  EXPECT_EQ(recognize_format(""), "");
}

}  // namespace
}  // namespace sagesan
