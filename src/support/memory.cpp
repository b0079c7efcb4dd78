#include "sagesan/support/memory.h"

#include <malloc.h>

namespace sagesan {

void release_free_memory() { ::malloc_trim(0); }

}  // namespace sagesan
