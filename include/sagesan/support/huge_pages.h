#pragma once

#include <cstddef>

namespace sagesan {

/// Bytes from which on a tensor is large.
constexpr size_t kLeastHugePages = size_t{32} << 20;

/// From here on large tensors on the CPU lie in the system's huge pages, where it gives them
/// (`/sys/kernel/mm/transparent_hugepage/enabled` says `madvise` or `always`): for each page of 4
/// KiB the system is entered once, which at a width of 4096 takes as long as the norms and
/// activations.
void use_huge_pages();

}  // namespace sagesan
