#pragma once

#include <cstdint>
#include <filesystem>

namespace sagesan {

/// From here on memory that was freed is used again instead of going back to the operating system
/// at once: to get it anew, page by page, takes longer than to compute what goes there.
void keep_free_memory();

/// Gives memory that was freed back, where it is much. Small lasting allocations between a layer's
/// large ones would otherwise keep the heap growing by tens of MiB a layer.
void release_free_memory();

/// Gives all of it back: before what is so large that nothing of it would be used for that.
void release_all_free_memory();

/// Bytes of memory that this process may use: what the machine has, or what a control group (of a
/// container, of a cluster's job) leaves it of that; 0 where the system does not say. The control
/// groups are those that the files below `root` describe.
uint64_t usable_memory(const std::filesystem::path& root = "/");

/// Bytes of this process that are in memory now; 0 where the system does not say.
uint64_t resident_memory();

}  // namespace sagesan
