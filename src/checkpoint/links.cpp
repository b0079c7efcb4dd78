#include "sagesan/checkpoint/links.h"

#include <algorithm>

#include "sagesan/support/error.h"

namespace sagesan {
namespace {

namespace fs = std::filesystem;

bool is_inside(const fs::path& file, const fs::path& directory) {
  return std::mismatch(directory.begin(), directory.end(), file.begin(), file.end()).first ==
         directory.end();
}

bool is_blob_of_the_hub(const fs::path& file) {
  const fs::path blobs = file.parent_path();
  return blobs.filename() == "blobs" &&
         blobs.parent_path().filename().string().starts_with("models--");
}

}  // namespace

void check_links(const fs::path& directory) {
  std::error_code failed;
  const fs::path real = fs::canonical(directory, failed);
  if (failed) return;  // whoever opens it says so
  for (const auto& entry : fs::directory_iterator(real, failed)) {
    if (!entry.is_symlink(failed) || !entry.is_regular_file(failed)) continue;
    const fs::path target = fs::canonical(entry.path(), failed);
    if (failed || is_inside(target, real) || is_blob_of_the_hub(target)) continue;
    throw InputError((directory / entry.path().filename()).string(),
                     "is a link that leads out of its directory, to " + quote(target.string()) +
                         "; put the file itself there");
  }
}

}  // namespace sagesan
