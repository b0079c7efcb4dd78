#include "sagesan/support/huge_pages.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <sys/mman.h>

#include <cstddef>
#include <cstring>
#include <memory>
#include <utility>

namespace sagesan {
namespace {

struct Mapping {
  void* data;
  size_t bytes;
};

void unmap(void* context) {
  const std::unique_ptr<Mapping> mapping(static_cast<Mapping*>(context));
  ::munmap(mapping->data, mapping->bytes);
}

/// Nothing where the system has no memory.
c10::DataPtr map(size_t bytes) {
  auto mapping = std::make_unique<Mapping>();
  void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) return {};
  ::madvise(data, bytes, MADV_HUGEPAGE);  // a wish: where it is refused pages are small
  *mapping = {data, bytes};
  return {data, mapping.release(), &unmap, c10::Device(c10::kCPU)};
}

/// Each large block is a mapping of its own. From malloc it could come out of the heap, whose pages
/// would then stay huge: what is small next would take 2 MiB. Smaller blocks are libtorch's own,
/// from memory that was used before (keep_free_memory).
/// What is virtual changed with libtorch 2.3: each version overrides what it knows.
class HugePages final : public c10::Allocator {
 public:
  explicit HugePages(c10::Allocator& own) : own_(own) {}

  // NOLINTBEGIN(modernize-use-override)
  c10::DataPtr allocate(size_t bytes) const {
    c10::DataPtr mapped = bytes >= kLeastHugePages ? map(bytes) : c10::DataPtr();
    return mapped ? std::move(mapped) : own_.allocate(bytes);
  }
  c10::DataPtr allocate(size_t bytes) { return std::as_const(*this).allocate(bytes); }
  /// None is right for all blocks.
  c10::DeleterFnPtr raw_deleter() const { return nullptr; }
  void copy_data(void* to, const void* from, size_t bytes) const { std::memcpy(to, from, bytes); }
  // NOLINTEND(modernize-use-override)

 private:
  c10::Allocator& own_;
};

}  // namespace

void use_huge_pages() {
  static HugePages allocator(*c10::GetDefaultCPUAllocator());
  c10::SetCPUAllocator(&allocator);
}

}  // namespace sagesan
