#include "sagesan/support/memory.h"

#include <malloc.h>
#include <unistd.h>

#include <cstddef>
#include <fstream>

namespace sagesan {
namespace {

/// Bytes that may lie free.
constexpr size_t kMostFree = size_t{256} << 20;

}  // namespace

void keep_free_memory() {
  // The most that glibc takes for the first. Setting one also ends its own adapting.
  ::mallopt(M_MMAP_THRESHOLD, 32 << 20);
  ::mallopt(M_TRIM_THRESHOLD, static_cast<int>(kMostFree));
}

void release_free_memory() {
  if (::mallinfo2().fordblks > kMostFree) ::malloc_trim(0);
}

uint64_t physical_memory() {
  const long pages = ::sysconf(_SC_PHYS_PAGES);
  return pages < 0 ? 0
                   : static_cast<uint64_t>(pages) * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

uint64_t resident_memory() {
  // Pages: the whole size, and what of it is resident.
  uint64_t size = 0;
  uint64_t resident = 0;
  std::ifstream("/proc/self/statm") >> size >> resident;
  return resident * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace sagesan
