#pragma once

namespace sagesan {

/// Gives memory that was freed back to the operating system. Small lasting allocations between a
/// layer's large ones would otherwise keep the heap growing by tens of MiB a layer.
void release_free_memory();

}  // namespace sagesan
