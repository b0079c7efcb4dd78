#include "sagesan/support/huge_pages.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

namespace sagesan {
namespace {

/// Smaller ones come from memory that was used before (keep_free_memory).
constexpr size_t kLeastBytes = size_t{32} << 20;

/// libtorch's own, whose large blocks it tells the system about. What is virtual changed with
/// libtorch 2.3: each version overrides what it knows and leaves the rest alone.
class HugePages final : public c10::Allocator {
 public:
  explicit HugePages(c10::Allocator& own) : own_(own) {}

  // NOLINTBEGIN(modernize-use-override)
  c10::DataPtr allocate(size_t bytes) const {
    c10::DataPtr data = own_.allocate(bytes);
    if (bytes >= kLeastBytes) advise(data.get(), bytes);
    return data;
  }
  c10::DataPtr allocate(size_t bytes) { return std::as_const(*this).allocate(bytes); }
  c10::DeleterFnPtr raw_deleter() const { return own_.raw_deleter(); }
  void copy_data(void* to, const void* from, size_t bytes) const { std::memcpy(to, from, bytes); }
  // NOLINTEND(modernize-use-override)

 private:
  static void advise(void* data, size_t bytes) {
    const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
    const size_t before = (page - reinterpret_cast<uintptr_t>(data) % page) % page;
    // It is a wish: where it is refused pages are small.
    ::madvise(static_cast<std::byte*>(data) + before, (bytes - before) / page * page,
              MADV_HUGEPAGE);
  }

  c10::Allocator& own_;
};

}  // namespace

void use_huge_pages() {
  static HugePages allocator(*c10::GetDefaultCPUAllocator());
  c10::SetCPUAllocator(&allocator);
}

}  // namespace sagesan
