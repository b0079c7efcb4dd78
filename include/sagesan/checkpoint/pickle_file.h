#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sagesan/checkpoint/tensor_file.h"

namespace sagesan {

class StridedView;

/// A PyTorch checkpoint opened for reading, as `torch.save` writes it since 1.6: a zip archive
/// whose entry data.pkl is a pickle that describes views of the storages data/0, data/1, ...
/// (PyTorch, docs/source/notes/serialization.rst). Nothing in it is executed.
///
/// Read are the tensors of the dictionary at the top, or of the one dictionary of tensors under
/// "state_dict", "model_state_dict", "model" or "module" there. Tensors on one storage (tied
/// weights) are all listed; transposed, sliced and expanded ones are read in logical order.
class PickleFile final : public TensorFile {
 public:
  /// Reads the directory and the pickle alone. Throws `InputError` that names file and tensor, and
  /// how to convert: for everything else that a pickle can hold (by the name of the Python object),
  /// for other formats, big-endian data and dtypes that safetensors lacks, for dictionaries and
  /// lists among the tensors, and for views that reach past their storage or storages past their
  /// entry. A tensor may be larger than the whole file (expanded) only up to 1 MiB.
  explicit PickleFile(std::filesystem::path path);
  ~PickleFile() override;

  const std::filesystem::path& path() const override { return file_.path(); }
  /// In the order of their first bytes in the file.
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  void read(const TensorInfo& tensor, uint64_t start, std::span<std::byte> buffer) const override;

 private:
  InputFile file_;
  std::vector<TensorInfo> tensors_;
  /// By name: where the elements lie.
  std::map<std::string, std::unique_ptr<const StridedView>> views_;
};

}  // namespace sagesan
