#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sagesan::testing {

template <typename T>
std::string bytes_of(T value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

/// Zip archives byte by byte (PKWARE APPNOTE.TXT 4.3). What is set lies to the reader.
struct ZipItem {
  std::string name;
  std::string data;
  uint16_t flags = 0;
  uint16_t method = 0;
  bool zip64 = false;
  std::string padding = {};  ///< the local header's extra field
  std::optional<std::string> local_name = {};
  std::optional<uint16_t> local_flags = {};
  std::optional<uint32_t> local_bytes = {};
  std::optional<uint32_t> bytes = {};
  std::optional<uint32_t> compressed_bytes = {};
  std::optional<uint32_t> offset = {};
};

struct ZipEnd {
  bool zip64 = false;
  std::string comment = {};
  std::optional<uint16_t> entries = {};
  std::optional<uint32_t> directory_bytes = {};
  std::optional<uint32_t> directory_offset = {};
  std::optional<uint64_t> zip64_offset = {};
  std::optional<uint64_t> zip64_bytes = {};
};

inline std::string zip(const std::vector<ZipItem>& items, const ZipEnd& end = {}) {
  std::string file;
  std::string directory;
  for (const ZipItem& item : items) {
    const auto size = static_cast<uint32_t>(item.data.size());
    const auto offset = item.offset.value_or(static_cast<uint32_t>(file.size()));
    const uint16_t flags = item.local_flags.value_or(item.flags);
    const bool sizes_follow = (flags & 8) != 0;
    const std::string local_name = item.local_name.value_or(item.name);
    const uint32_t local_bytes = item.local_bytes.value_or(sizes_follow ? 0 : size);
    file += "PK\x03\x04" + bytes_of<uint16_t>(20) + bytes_of(flags) + bytes_of(item.method) +
            bytes_of<uint32_t>(0) + bytes_of<uint32_t>(0) + bytes_of(local_bytes) +
            bytes_of(local_bytes) + bytes_of<uint16_t>(local_name.size()) +
            bytes_of<uint16_t>(item.padding.size()) + local_name + item.padding + item.data;
    if (sizes_follow) file += "PK\x07\x08" + std::string(4, '\0') + bytes_of(size) + bytes_of(size);
    std::string extra;
    if (item.zip64) {
      extra = bytes_of<uint16_t>(1) + bytes_of<uint16_t>(24) + bytes_of<uint64_t>(size) +
              bytes_of<uint64_t>(size) + bytes_of<uint64_t>(offset);
    }
    const auto stored = [&](uint32_t value) { return item.zip64 ? 0xFFFFFFFF : value; };
    directory += "PK\x01\x02" + bytes_of<uint16_t>(20) + bytes_of<uint16_t>(20) +
                 bytes_of(item.flags) + bytes_of(item.method) + bytes_of<uint32_t>(0) +
                 bytes_of<uint32_t>(0) +
                 bytes_of(stored(item.compressed_bytes.value_or(item.bytes.value_or(size)))) +
                 bytes_of(stored(item.bytes.value_or(size))) +
                 bytes_of<uint16_t>(item.name.size()) + bytes_of<uint16_t>(extra.size()) +
                 std::string(10, '\0') + bytes_of(stored(offset)) + item.name + extra;
  }
  const uint64_t offset = file.size();
  file += directory;
  const auto entries = end.entries.value_or(static_cast<uint16_t>(items.size()));
  if (end.zip64) {
    const uint64_t record = file.size();
    file += "PK\x06\x06" + bytes_of<uint64_t>(44) + std::string(12, '\0') +
            bytes_of<uint64_t>(items.size()) + bytes_of<uint64_t>(items.size()) +
            bytes_of(end.zip64_bytes.value_or(directory.size())) + bytes_of(offset);
    file += "PK\x06\x07" + bytes_of<uint32_t>(0) + bytes_of(end.zip64_offset.value_or(record)) +
            bytes_of<uint32_t>(1);
  }
  const uint32_t elsewhere = 0xFFFFFFFF;
  const auto small = [&](uint64_t value) {
    return end.zip64 ? elsewhere : static_cast<uint32_t>(value);
  };
  file += "PK\x05\x06" + std::string(4, '\0') + bytes_of(entries) + bytes_of(entries) +
          bytes_of(end.directory_bytes.value_or(small(directory.size()))) +
          bytes_of(end.directory_offset.value_or(small(offset))) +
          bytes_of<uint16_t>(end.comment.size()) + end.comment;
  return file;
}

/// Pickles opcode by opcode (Python, Lib/pickletools.py); each gives what pushes one value.
namespace pickle {

inline std::string text(std::string_view value) {
  return "X" + bytes_of<uint32_t>(value.size()) + std::string(value);
}
inline std::string number(int64_t value) { return "\x8a\x08" + bytes_of(value); }
inline std::string global(std::string_view module, std::string_view name) {
  return "c" + std::string(module) + "\n" + std::string(name) + "\n";
}
inline std::string joined(const std::vector<std::string>& items) {
  std::string all;
  for (const std::string& item : items) all += item;
  return all;
}
inline std::string tuple(const std::vector<std::string>& items) {
  return "(" + joined(items) + "t";
}
inline std::string numbers(const std::vector<int64_t>& values) {
  std::string items;
  for (const int64_t value : values) items += number(value);
  return "(" + items + "t";
}
/// Keys and values, one after another.
inline std::string dict(const std::vector<std::string>& items) {
  return "}(" + joined(items) + "u";
}
inline std::string call(const std::string& function, const std::vector<std::string>& arguments) {
  return function + tuple(arguments) + "R";
}
inline std::string ordered_dict() { return call(global("collections", "OrderedDict"), {}); }
inline std::string storage(std::string_view type, std::string_view key, int64_t elements) {
  return tuple({text("storage"), global(type == "UntypedStorage" ? "torch.storage" : "torch", type),
                text(key), text("cpu"), number(elements)}) +
         "Q";
}
inline std::string tensor(const std::string& storage, int64_t offset,
                          const std::vector<int64_t>& shape, const std::vector<int64_t>& strides,
                          const std::vector<std::string>& more = {}) {
  return call(global("torch._utils", "_rebuild_tensor_v2"),
              {storage, number(offset), numbers(shape), numbers(strides), "\x89", ordered_dict(),
               joined(more)});
}
/// The form with a dtype of its own.
inline std::string typed_tensor(const std::string& storage, int64_t offset,
                                const std::vector<int64_t>& shape,
                                const std::vector<int64_t>& strides, std::string_view dtype) {
  return call(global("torch._utils", "_rebuild_tensor_v3"),
              {storage, number(offset), numbers(shape), numbers(strides), "\x89", ordered_dict(),
               global("torch", dtype)});
}
inline std::string whole(const std::string& value) { return "\x80\x02" + value + "."; }

}  // namespace pickle

/// The entries of a checkpoint as torch.save writes them.
inline std::vector<ZipItem> archive_items(const std::string& data_pkl,
                                          const std::map<std::string, std::string>& storages) {
  std::vector<ZipItem> items = {{"m/data.pkl", data_pkl}, {"m/byteorder", "little"}};
  for (const auto& [key, bytes] : storages) items.push_back({"m/data/" + key, bytes});
  items.push_back({"m/version", "3\n"});
  return items;
}

/// A checkpoint whose pickle pushes `value`.
inline std::string torch_archive(const std::string& value,
                                 const std::map<std::string, std::string>& storages) {
  return zip(archive_items(pickle::whole(value), storages));
}

}  // namespace sagesan::testing
