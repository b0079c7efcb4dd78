#pragma once

#include <filesystem>
#include <vector>

namespace sagesan {

/// The preflight of a moments file to be written: throws where `out` cannot be written, is one of
/// `inputs`, exists and `overwrite` is false, or exists and is no moments file.
void check_moments_target(const std::filesystem::path& out,
                          const std::vector<std::filesystem::path>& inputs, bool overwrite);

}  // namespace sagesan
