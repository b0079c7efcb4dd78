// What the reader of PyTorch checkpoints sees, as safetensors, for the tests to compare with torch.
//
//     sagesan_dump_pickle IN OUT.safetensors [IN OUT.safetensors ...]

#include <cstdio>
#include <deque>
#include <exception>

#include "sagesan/checkpoint/pickle_file.h"
#include "sagesan/checkpoint/safetensors_writer.h"

namespace sagesan {
namespace {

void dump(const char* in, const char* out) {
  const PickleFile file(in);
  std::deque<std::vector<std::byte>> data;
  std::vector<TensorBytes> tensors;
  for (const TensorInfo& tensor : file.tensors()) {
    file.read(tensor, 0, data.emplace_back(tensor.bytes));
    tensors.push_back({tensor.name, tensor.dtype, tensor.shape, data.back()});
  }
  write_safetensors(out, tensors);
}

}  // namespace
}  // namespace sagesan

int main(int argc, char** argv) {
  if (argc < 3 || argc % 2 != 1) return 2;
  try {
    for (int i = 1; i < argc; i += 2) sagesan::dump(argv[i], argv[i + 1]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
