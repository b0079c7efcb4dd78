#include "sagesan/checkpoint/pickle_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <numeric>
#include <utility>

#include "pickle_remedy.h"
#include "sagesan/support/checked.h"
#include "sagesan/support/error.h"
#include "state_dict.h"
#include "strided_view.h"
#include "unpickler.h"
#include "zip_directory.h"

namespace sagesan {
namespace {

/// The pickle of 100,000 tensors takes 10 MiB.
constexpr uint64_t kMaxPickleBytes = uint64_t{64} << 20;
/// numpy's limit.
constexpr size_t kMaxDimensions = 32;
/// What an expanded tensor may take where the file is smaller.
constexpr uint64_t kMaxExpandedBytes = uint64_t{1} << 20;
/// caffe2/serialize/versions.h: kMaxSupportedFileFormatVersion.
constexpr int kMaxFormatVersion = 10;

/// The magic number of the format before 1.6, itself a pickle (torch/serialization.py).
constexpr std::string_view kLegacyMagic =
    "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

void refuse_other_formats(const InputFile& file) {
  std::string first(std::min<uint64_t>(file.size(), 64), '\0');
  file.read(0, std::as_writable_bytes(std::span(first)));
  const auto refuse = [&](const std::string& message) {
    throw InputError(file.path().string(), message);
  };
  if (first.starts_with("PK\x03\x04")) return;
  if (first.starts_with(kLegacyMagic)) {
    refuse(
        fmt::format("is a PyTorch checkpoint in the format before torch 1.6: {}", kConvertPickle));
  }
  if (first.size() >= 2 && first[0] == '\x80' && first[1] >= 2 && first[1] <= 5) {
    refuse(fmt::format("is a plain Python pickle, not what torch.save writes: {}", kConvertPickle));
  }
  const std::string format = recognize_format(first);
  refuse(fmt::format("is {}, expected a PyTorch checkpoint",
                     format.empty() ? "no zip archive" : format));
}

/// Sizes or strides.
std::vector<int64_t> numbers_of(const PickleTuple& tuple, const char* what,
                                const std::string& where) {
  if (tuple.items.size() > kMaxDimensions) {
    throw InputError(where, fmt::format("{} dimensions; at most {} are read", tuple.items.size(),
                                        kMaxDimensions));
  }
  std::vector<int64_t> numbers;
  for (const PickleValue& item : tuple.items) {
    const auto* number = std::get_if<int64_t>(&item);
    if (number == nullptr) throw InputError(where, fmt::format("a {} that is no integer", what));
    if (*number < 0) throw InputError(where, fmt::format("the {} {} is negative", what, *number));
    numbers.push_back(*number);
  }
  return numbers;
}

/// Elements of the storage up to the last one that the view reaches; nothing where that overflows.
std::optional<int64_t> end_of_view(int64_t offset, const std::vector<int64_t>& shape,
                                   const std::vector<int64_t>& strides) {
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return offset;
  std::optional<int64_t> end = checked_add<int64_t>(offset, 1);
  for (size_t i = 0; i < shape.size() && end; ++i) {
    const auto reach = checked_multiply<int64_t>(shape[i] - 1, strides[i]);
    end = reach ? checked_add(*end, *reach) : std::nullopt;
  }
  return end;
}

struct PlacedTensor {
  TensorInfo info;
  StridedView view;
};

/// Opens one archive.
class Loader {
 public:
  explicit Loader(const InputFile& file)
      : file_(file), where_(file.path().string()), entries_(read_zip_directory(file)) {
    check_archive();
  }

  /// The tensors and their views, in the order of the pickle.
  std::vector<PlacedTensor> load() const;

 private:
  [[noreturn]] void fail(const std::string& message) const { throw InputError(where_, message); }
  const ZipEntry* find(std::string_view name) const;
  std::string read_entry(std::string_view name, uint64_t max_bytes) const;
  void check_archive();
  PlacedTensor place(const std::string& name, const PickleTensor& tensor) const;
  DType dtype_of(const PickleTensor& tensor, const std::string& where) const;
  ZipEntry storage_of(const PickleTensor& tensor, const std::string& where) const;

  const InputFile& file_;
  std::string where_;
  std::map<std::string, ZipEntry> entries_;
  std::string root_;  ///< the folder in which all entries lie, with its slash
};

const ZipEntry* Loader::find(std::string_view name) const {
  const auto found = entries_.find(fmt::format("{}{}", root_, name));
  return found == entries_.end() ? nullptr : &found->second;
}

std::string Loader::read_entry(std::string_view name, uint64_t max_bytes) const {
  const ZipEntry* entry = find(name);
  if (entry == nullptr) return "";
  if (entry->bytes > max_bytes) {
    fail(fmt::format("{}: {} bytes long; at most {} are read", name, entry->bytes, max_bytes));
  }
  std::string bytes(entry->bytes, '\0');
  file_.read(entry->offset, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

void Loader::check_archive() {
  const std::string first = entries_.empty() ? "" : entries_.begin()->first;
  root_ = first.substr(0, first.find('/') + 1);  // empty where there is no slash
  const auto is_outside = [&](const auto& entry) { return !entry.first.starts_with(root_); };
  if (root_.empty() || find("data.pkl") == nullptr ||
      std::any_of(entries_.begin(), entries_.end(), is_outside)) {
    fail("is a zip archive, but no PyTorch checkpoint: expected data.pkl in its one folder");
  }
  const auto code = entries_.lower_bound(root_ + "code/");
  if (find("constants.pkl") != nullptr ||
      (code != entries_.end() && code->first.starts_with(root_ + "code/"))) {
    fail(
        "is a TorchScript archive, a program: load it in Python with torch.jit.load, if you trust "
        "it, and save its state_dict() with safetensors.torch.save_file");
  }
  for (const auto& [name, entry] : entries_) {
    if (entry.method != 0) {
      fail(fmt::format("zip entry {}: compressed (method {}), which torch.save does not do: {}",
                       quote(name), entry.method, kConvertPickle));
    }
  }
  const std::string version = read_entry("version", 16);
  int number = 0;
  const auto parsed = std::from_chars(version.data(), version.data() + version.size(), number);
  if (parsed.ec != std::errc() || number < 1 || number > kMaxFormatVersion) {
    fail(fmt::format("the entry 'version' says {}, expected 1 to {}: {}", quote(version),
                     kMaxFormatVersion, kConvertPickle));
  }
  // Written since torch 2.1.
  if (const std::string order = read_entry("byteorder", 16);
      find("byteorder") && order != "little") {
    fail(fmt::format("its byte order is {}, only 'little' is read: {}", quote(order),
                     kConvertPickle));
  }
}

DType Loader::dtype_of(const PickleTensor& tensor, const std::string& where) const {
  const PickleGlobal& type = tensor.dtype != nullptr ? *tensor.dtype : *tensor.storage->type;
  if (tensor.dtype == nullptr && type.role == PickleGlobal::Role::kUntypedStorage) {
    throw InputError(where, "a storage without a dtype");
  }
  if (!type.dtype) {
    throw InputError(where, fmt::format("safetensors has no dtype for torch.{}", type.name));
  }
  return *type.dtype;
}

/// The storage's entry, as long as the pickle says.
ZipEntry Loader::storage_of(const PickleTensor& tensor, const std::string& where) const {
  const PickleStorage& storage = *tensor.storage;
  const ZipEntry* entry = find(fmt::format("data/{}", storage.key));
  if (entry == nullptr) {
    throw InputError(where,
                     fmt::format("its storage {} is not in the archive", quote(storage.key)));
  }
  const auto element_bytes = storage.type->dtype ? dtype_bits(*storage.type->dtype) / 8 : 1;
  const auto bytes = checked_multiply<uint64_t>(static_cast<uint64_t>(storage.elements),
                                                static_cast<uint64_t>(element_bytes));
  // torch rounds down where a storage ends inside an element.
  if (!bytes || *bytes > entry->bytes ||
      entry->bytes - *bytes >= static_cast<uint64_t>(element_bytes)) {
    throw InputError(
        where, fmt::format("its storage {} claims {} elements of {} bytes, but has {} "
                           "bytes",
                           quote(storage.key), storage.elements, element_bytes, entry->bytes));
  }
  return *entry;
}

PlacedTensor Loader::place(const std::string& name, const PickleTensor& tensor) const {
  const std::string where = fmt::format("{}: tensor {}", where_, quote(name));
  TensorInfo info{.name = name,
                  .dtype = dtype_of(tensor, where),
                  .shape = numbers_of(*tensor.shape, "size", where)};
  std::vector<int64_t> strides = numbers_of(*tensor.strides, "stride", where);
  if (strides.size() != info.shape.size()) {
    throw InputError(where,
                     fmt::format("{} sizes and {} strides", info.shape.size(), strides.size()));
  }
  if (tensor.conjugate) {
    throw InputError(where, fmt::format("a conjugate or negative view: {}", kConvertPickle));
  }
  info.bytes = tensor_bytes_of(info.dtype, info.shape, where);
  const ZipEntry entry = storage_of(tensor, where);
  const auto element_bytes = static_cast<uint64_t>(dtype_bits(info.dtype)) / 8;
  const auto end = end_of_view(tensor.offset, info.shape, strides);
  if (tensor.offset < 0 || !end || static_cast<uint64_t>(*end) > entry.bytes / element_bytes) {
    throw InputError(where, fmt::format("offset {}, shape {} and strides {} reach past its storage "
                                        "{} of {} elements",
                                        tensor.offset, shape_text(info.shape), shape_text(strides),
                                        quote(tensor.storage->key), entry.bytes / element_bytes));
  }
  if (info.bytes > std::max(file_.size(), kMaxExpandedBytes)) {
    throw InputError(where, fmt::format("expanded to {} bytes, more than the file has: save it "
                                        "after .contiguous()",
                                        info.bytes));
  }
  // Nothing bounds the strides of a tensor without elements, and nothing reads it.
  if (info.bytes == 0) std::fill(strides.begin(), strides.end(), 0);
  info.offset = entry.offset + static_cast<uint64_t>(tensor.offset) * element_bytes;
  StridedView view(info.offset, element_bytes, info.shape, strides);
  return {std::move(info), std::move(view)};
}

std::vector<PlacedTensor> Loader::load() const {
  const std::string bytes = read_entry("data.pkl", kMaxPickleBytes);
  const std::string where = where_ + ": data.pkl";
  Unpickler unpickler(bytes, where);
  const PickleValue top = unpickler.run();
  std::vector<PlacedTensor> placed;
  for (const auto& [name, tensor] : tensors_of_state_dict(top, where)) {
    placed.push_back(place(name, *tensor));
  }
  return placed;
}

}  // namespace

PickleFile::PickleFile(std::filesystem::path path) : file_(std::move(path)) {
  refuse_other_formats(file_);
  for (auto& [info, view] : Loader(file_).load()) {
    views_[info.name] = std::make_unique<const StridedView>(std::move(view));
    tensors_.push_back(std::move(info));
  }
  std::stable_sort(tensors_.begin(), tensors_.end(), [](const TensorInfo& a, const TensorInfo& b) {
    return std::pair(a.offset, a.bytes) < std::pair(b.offset, b.bytes);
  });
}

PickleFile::~PickleFile() = default;

void PickleFile::read(const TensorInfo& tensor, uint64_t start, std::span<std::byte> buffer) const {
  SAGESAN_ASSERT(start <= tensor.bytes && buffer.size() <= tensor.bytes - start);
  const auto view = views_.find(tensor.name);
  SAGESAN_ASSERT(view != views_.end());
  view->second->read(file_, start, buffer);
}

}  // namespace sagesan
