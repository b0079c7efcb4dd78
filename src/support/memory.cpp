#include "sagesan/support/memory.h"

#include <malloc.h>

#include <cstddef>

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

}  // namespace sagesan
