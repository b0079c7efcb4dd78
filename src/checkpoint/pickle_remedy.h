#pragma once

namespace sagesan {

/// What to do with a pickle that is refused: ends the message.
constexpr const char* kConvertPickle =
    "load it in Python with torch.load, if you trust it, and save it with "
    "safetensors.torch.save_file";

}  // namespace sagesan
