#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

namespace sagesan {

// What the kinds of files have in common; all throw `IoError` that names `path`.

/// Reserves `size` bytes at once, where the file system can: a full disk shows here and not after
/// hours.
void reserve_space(int fd, uint64_t size, const std::filesystem::path& path);
/// Reads on until `buffer` is full or the file ends; returns how many bytes came.
size_t read_fully(int fd, uint64_t offset, std::span<std::byte> buffer,
                  const std::filesystem::path& path);
void write_fully(int fd, uint64_t offset, std::span<const std::byte> bytes,
                 const std::filesystem::path& path);
/// renameat2(2) with RENAME_ flags; -1 and `errno` where it fails.
int rename_with(const std::filesystem::path& from, const std::filesystem::path& to, unsigned flags);
/// Whether it failed for a file system, or kernel, that does not know the flag.
bool lacks_rename_flag();
/// Forces the names in a directory to the disk.
void sync_directory(const std::filesystem::path& path);

}  // namespace sagesan
