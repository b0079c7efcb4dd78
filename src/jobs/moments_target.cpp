#include "moments_target.h"

#include "sagesan/activations/moments_file.h"
#include "sagesan/support/error.h"
#include "sagesan/support/file.h"

namespace sagesan {

void check_moments_target(const std::filesystem::path& out,
                          const std::vector<std::filesystem::path>& inputs, bool overwrite) {
  check_text_file_target(out, inputs);
  if (!std::filesystem::exists(std::filesystem::symlink_status(out))) return;
  if (!overwrite)
    throw InputError(out.string(), "exists already; choose another --out or pass --overwrite");
  try {
    const MomentsFile earlier(out);
  } catch (const Error&) {
    throw InputError(out.string(),
                     "is no moments file of sagesan, so it is not replaced; choose another --out");
  }
}

}  // namespace sagesan
