#include "sagesan/support/huge_pages.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <sys/mman.h>

#include <cstddef>
#include <cstring>
#include <mutex>
#include <new>
#include <unordered_map>
#include <utility>

namespace sagesan {
namespace {

/// Bytes of each mapping, by its start.
struct Mappings {
  std::mutex mutex;
  std::unordered_map<void*, size_t> bytes;
};

Mappings& mappings() {
  // It outlives every tensor.
  static auto* all = new Mappings;  // NOLINT(cppcoreguidelines-owning-memory)
  return *all;
}

/// Takes a mapping off the list; 0 where it is none.
size_t forget_mapping(void* data) {
  const std::lock_guard lock(mappings().mutex);
  const auto found = mappings().bytes.find(data);
  if (found == mappings().bytes.end()) return 0;
  const size_t bytes = found->second;
  mappings().bytes.erase(found);
  return bytes;
}

/// Of blocks of either kind: libtorch frees some without their `DataPtr`.
void release(void* data) {
  if (const size_t bytes = forget_mapping(data); bytes > 0)
    ::munmap(data, bytes);
  else
    c10::GetDefaultCPUAllocator()->raw_deleter()(data);
}

/// Nothing where the system has no memory.
c10::DataPtr map(size_t bytes) {
  void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) return {};
  ::madvise(data, bytes, MADV_HUGEPAGE);  // a wish: where it is refused pages are small
  try {
    const std::lock_guard lock(mappings().mutex);
    mappings().bytes.emplace(data, bytes);
  } catch (const std::bad_alloc&) {
    ::munmap(data, bytes);
    return {};
  }
  return {data, data, &release, c10::Device(c10::kCPU)};
}

/// Each large block is a mapping of its own. From malloc it could come out of the heap, whose pages
/// would then stay huge: what is small next would take 2 MiB. Smaller blocks are libtorch's own,
/// from memory that was used before (keep_free_memory).
/// What is virtual changed with libtorch 2.3: each version overrides what it knows.
class HugePages final : public c10::Allocator {
 public:
  // NOLINTBEGIN(modernize-use-override)
  c10::DataPtr allocate(size_t bytes) const {
    c10::DataPtr data = bytes >= kLeastHugePages ? map(bytes) : c10::DataPtr();
    return data ? std::move(data) : c10::GetDefaultCPUAllocator()->allocate(bytes);
  }
  c10::DataPtr allocate(size_t bytes) { return std::as_const(*this).allocate(bytes); }
  c10::DeleterFnPtr raw_deleter() const { return &release; }
  void copy_data(void* to, const void* from, size_t bytes) const { std::memcpy(to, from, bytes); }
  // NOLINTEND(modernize-use-override)
};

}  // namespace

void use_huge_pages() {
  static HugePages allocator;
  c10::SetCPUAllocator(&allocator);
}

}  // namespace sagesan
