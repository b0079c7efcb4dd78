#include <algorithm>
#include <vector>

#include "checkpoint/torch_archive.h"
#include "checkpoint/zip_directory.h"
#include "fuzz.h"
#include "sagesan/support/error.h"

namespace sagesan::fuzz {
namespace {

/// The archive's files; none where it is not in order.
std::vector<testing::ZipItem> items_of(std::string_view bytes) {
  std::vector<testing::ZipItem> items;
  try {
    for (const auto& [name, entry] : read_zip_directory(InputFile(put("mutated.zip", bytes)))) {
      items.push_back({.name = name,
                       .data = std::string(bytes.substr(entry.offset, entry.bytes)),
                       .method = entry.method});
    }
  } catch (const Error&) {
    items.clear();
  }
  return items;
}

}  // namespace

size_t mutate_zip(uint8_t* bytes, size_t size, size_t most, unsigned seed) {
  if (seed % 2 == 0) return mutate_plain(bytes, size, most);
  auto items = items_of({reinterpret_cast<const char*>(bytes), size});
  if (items.empty()) return mutate_plain(bytes, size, most);
  testing::ZipItem& item = items[seed / 16 % items.size()];
  mutate_part(seed % 16 == 1 ? item.name : item.data);
  const std::string archive = testing::zip(items);
  if (archive.size() > most) return mutate_plain(bytes, size, most);
  std::copy(archive.begin(), archive.end(), bytes);
  return archive.size();
}

}  // namespace sagesan::fuzz
