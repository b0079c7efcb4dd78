#pragma once

#include <filesystem>

namespace sagesan {

/// A checkpoint comes from a stranger, and its files are read and copied: a link among them could
/// bring any file of the user's into the output. So files that are links must lead to the directory
/// itself or, as the Hugging Face cache has them, to `models--*/blobs`. Throws `InputError` that
/// names the first link that leads elsewhere. The directory itself may be reached by links.
void check_links(const std::filesystem::path& directory);

}  // namespace sagesan
