#include "sagesan/support/huge_pages.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <sys/mman.h>
#include <unistd.h>

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

  c10::DataPtr allocate(size_t bytes) const {
    c10::DataPtr data = own_.allocate(bytes);
    if (bytes >= kLeastBytes) advise(data.get(), bytes);
    return data;
  }
  c10::DataPtr allocate(size_t bytes) { return std::as_const(*this).allocate(bytes); }
  c10::DeleterFnPtr raw_deleter() const override { return own_.raw_deleter(); }
  void copy_data(void* to, const void* from, size_t bytes) const { std::memcpy(to, from, bytes); }

 private:
  static void advise(void* data, size_t bytes) {
    const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
    const auto begin = (reinterpret_cast<uintptr_t>(data) + page - 1) / page * page;
    const auto end = (reinterpret_cast<uintptr_t>(data) + bytes) / page * page;
    // It is a wish: where it is refused pages are small.
    ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
  }

  c10::Allocator& own_;
};

}  // namespace

void use_huge_pages() {
  static HugePages allocator(*c10::GetDefaultCPUAllocator());
  c10::SetCPUAllocator(&allocator);
}

}  // namespace sagesan
