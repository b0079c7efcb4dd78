#include "checkpoint/torch_archive.h"
#include "fuzz/fuzz.h"
#include "sagesan/checkpoint/pickle_file.h"

// PyTorch's checkpoints: whole archives, and pickles inside an archive that is in order.

namespace sagesan::fuzz {
namespace {

void open_archive(std::string_view bytes) {
  const auto path = put("pytorch_model.bin", bytes);
  loads_or_refuses([&] {
    const PickleFile file(path);
    for (const TensorInfo& tensor : file.tensors()) {
      require(tensor.bytes <= bytes.size() + (size_t{1} << 20),
              "a tensor far larger than the file");
      std::vector<std::byte> values(tensor.bytes);
      file.read(tensor, 0, values);
    }
  });
}

}  // namespace

FUZZ_TARGET(torch_archive, mutate_zip) { open_archive(bytes); }

FUZZ_TARGET(pickle) {
  const std::string storage(96, '\x3f');
  open_archive(
      testing::zip(testing::archive_items(std::string(bytes), {{"0", storage}, {"1", storage}})));
}

}  // namespace sagesan::fuzz
