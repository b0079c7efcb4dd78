#include "sagesan/support/memory.h"

#include <fmt/format.h>
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <fstream>
#include <limits>
#include <string>

namespace sagesan {
namespace {

/// Bytes that may lie free.
constexpr size_t kMostFree = size_t{112} << 20;

/// What was resident when nothing lay free: glibc's own count of what is free does not say whether
/// that was given back already.
uint64_t least_resident = 0;

/// The least number in the files of that name, of a control group and of those above it. Some say
/// "max".
uint64_t least_limit(const std::filesystem::path& hierarchy, std::filesystem::path group,
                     const char* file) {
  uint64_t least = std::numeric_limits<uint64_t>::max();
  for (;; group = group.parent_path()) {
    uint64_t limit = 0;
    if (std::ifstream(hierarchy / group.relative_path() / file) >> limit)
      least = std::min(least, limit);
    if (!group.has_relative_path()) return least;
  }
}

/// Lines `ID:CONTROLLERS:GROUP`, with no controllers where all are of version 2; cgroups(7).
uint64_t control_group_limit(const std::filesystem::path& root) {
  const std::filesystem::path mounted = root / "sys/fs/cgroup";
  uint64_t least = std::numeric_limits<uint64_t>::max();
  std::ifstream lines(root / "proc/self/cgroup");
  for (std::string line; std::getline(lines, line);) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = fmt::format(",{},", line.substr(first + 1, second - first - 1));
    const std::string group = line.substr(second + 1);
    if (controllers == ",,")
      least = std::min(least, least_limit(mounted, group, "memory.max"));
    else if (controllers.find(",memory,") != std::string::npos)
      least = std::min(least, least_limit(mounted / "memory", group, "memory.limit_in_bytes"));
  }
  return least;
}

}  // namespace

void keep_free_memory() {
  // The most that glibc takes for the first. Setting one also ends its own adapting.
  ::mallopt(M_MMAP_THRESHOLD, 32 << 20);
  ::mallopt(M_TRIM_THRESHOLD, static_cast<int>(kMostFree));
}

void release_free_memory() {
  const uint64_t now = resident_memory();
  if (now > least_resident + kMostFree)
    release_all_free_memory();
  else
    least_resident = std::min(least_resident, now);
}

void release_all_free_memory() {
  ::malloc_trim(0);
  least_resident = resident_memory();
}

uint64_t usable_memory(const std::filesystem::path& root) {
  const long pages = ::sysconf(_SC_PHYS_PAGES);
  if (pages < 0) return 0;
  return std::min(static_cast<uint64_t>(pages) * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE)),
                  control_group_limit(root));
}

uint64_t resident_memory() {
  // Pages: the whole size, and what of it is resident.
  uint64_t size = 0;
  uint64_t resident = 0;
  std::ifstream("/proc/self/statm") >> size >> resident;
  return resident * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace sagesan
