#include "zip_directory.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <string_view>
#include <vector>

#include "sagesan/support/error.h"

namespace sagesan {
namespace {

static_assert(std::endian::native == std::endian::little, "zip fields are little-endian");

constexpr uint32_t kLocalHeader = 0x04034b50;
constexpr uint32_t kCentralHeader = 0x02014b50;
constexpr uint32_t kZip64EndRecord = 0x06064b50;
constexpr uint32_t kZip64Locator = 0x07064b50;
constexpr uint32_t kEndRecord = 0x06054b50;

constexpr uint64_t kLocalHeaderBytes = 30;
constexpr uint64_t kCentralHeaderBytes = 46;
constexpr uint64_t kZip64EndRecordBytes = 56;
constexpr uint64_t kZip64LocatorBytes = 20;
constexpr uint64_t kEndRecordBytes = 22;

/// A quarter of a million tensors.
constexpr uint64_t kMaxDirectoryBytes = uint64_t{16} << 20;

/// "The value stands in the zip64 extra field."
constexpr uint32_t kElsewhere32 = 0xFFFFFFFF;
constexpr uint16_t kElsewhere16 = 0xFFFF;
constexpr uint16_t kZip64Extra = 0x0001;

constexpr uint16_t kSizesFollowData = 1 << 3;
constexpr uint16_t kUtf8Names = 1 << 11;
/// Bits 1 and 2 say how hard a compressor tried.
constexpr uint16_t kKnownFlags = kSizesFollowData | kUtf8Names | 1 << 1 | 1 << 2;

/// The little-endian number at byte `position`, which must lie inside.
template <typename T>
T number_at(std::string_view bytes, size_t position) {
  SAGESAN_ASSERT(position <= bytes.size() && sizeof(T) <= bytes.size() - position);
  T value;
  std::memcpy(&value, bytes.data() + position, sizeof value);
  return value;
}

struct Directory {
  uint64_t offset;
  uint64_t bytes;
  uint64_t entries;
};

struct Header {
  std::string name;
  uint16_t flags;
  uint16_t method;
  uint64_t bytes;   ///< compressed
  uint64_t length;  ///< as it will be
  uint64_t local_offset;
};

class Reader {
 public:
  explicit Reader(const InputFile& file) : file_(file) {}
  std::map<std::string, ZipEntry> read() const;

 private:
  [[noreturn]] void fail(const std::string& message) const {
    throw InputError(file_.path().string(), message);
  }
  [[noreturn]] void fail_entry(std::string_view name, const std::string& message) const {
    fail(fmt::format("zip entry {}: {}", quote(name), message));
  }
  std::string read_bytes(uint64_t offset, uint64_t count) const {
    std::string bytes(count, '\0');
    file_.read(offset, std::as_writable_bytes(std::span(bytes)));
    return bytes;
  }
  Directory find_directory() const;
  Directory find_zip64_directory(uint64_t end_record) const;
  /// Takes the header at `position` and moves past it.
  Header parse_central_header(std::string_view directory, size_t& position) const;
  ZipEntry check_local_header(const Header& header, uint64_t data_end) const;

  const InputFile& file_;
};

Directory Reader::find_zip64_directory(uint64_t end_record) const {
  const uint64_t locator_offset = end_record - kZip64LocatorBytes;
  const std::string locator = read_bytes(locator_offset, kZip64LocatorBytes);
  const auto offset = number_at<uint64_t>(locator, 8);
  if (locator_offset < kZip64EndRecordBytes || offset != locator_offset - kZip64EndRecordBytes) {
    fail("the zip64 end record is not where its locator says");
  }
  const std::string record = read_bytes(offset, kZip64EndRecordBytes);
  if (number_at<uint32_t>(record, 0) != kZip64EndRecord ||
      number_at<uint64_t>(record, 4) != kZip64EndRecordBytes - 12) {
    fail("the zip64 end record is damaged");
  }
  const auto entries = number_at<uint64_t>(record, 32);
  if (number_at<uint32_t>(locator, 4) != 0 || number_at<uint32_t>(locator, 16) != 1 ||
      number_at<uint32_t>(record, 16) != 0 || number_at<uint32_t>(record, 20) != 0 ||
      number_at<uint64_t>(record, 24) != entries) {
    fail("a zip archive of several disks");
  }
  return {number_at<uint64_t>(record, 48), number_at<uint64_t>(record, 40), entries};
}

Directory Reader::find_directory() const {
  // Exactly at the end: neither torch nor Python writes a comment, and a search could find another
  // record than another reader does.
  if (file_.size() < kEndRecordBytes) fail("a zip archive without its end: truncated");
  const uint64_t end_record = file_.size() - kEndRecordBytes;
  const std::string record = read_bytes(end_record, kEndRecordBytes);
  if (number_at<uint32_t>(record, 0) != kEndRecord || number_at<uint16_t>(record, 20) != 0) {
    fail("a zip archive without its end: truncated, or something was appended");
  }
  const auto entries = number_at<uint16_t>(record, 10);
  if (number_at<uint16_t>(record, 4) != 0 || number_at<uint16_t>(record, 6) != 0 ||
      number_at<uint16_t>(record, 8) != entries) {
    fail("a zip archive of several disks");
  }
  Directory directory{number_at<uint32_t>(record, 16), number_at<uint32_t>(record, 12), entries};
  uint64_t end = end_record;
  if (end_record >= kZip64LocatorBytes &&
      number_at<uint32_t>(read_bytes(end_record - kZip64LocatorBytes, 4), 0) == kZip64Locator) {
    const Directory large = find_zip64_directory(end_record);
    if ((directory.offset != kElsewhere32 && directory.offset != large.offset) ||
        (directory.bytes != kElsewhere32 && directory.bytes != large.bytes) ||
        (directory.entries != kElsewhere16 && directory.entries != large.entries)) {
      fail("the two end records of the zip archive differ");
    }
    directory = large;
    end = end_record - kZip64LocatorBytes - kZip64EndRecordBytes;
  }
  if (directory.offset > end || directory.bytes != end - directory.offset) {
    fail(fmt::format("the zip directory claims bytes {} + {}, but its end record stands at byte {}",
                     directory.offset, directory.bytes, end));
  }
  if (directory.bytes > kMaxDirectoryBytes) {
    fail(fmt::format("a zip directory of {} bytes; at most {} are read", directory.bytes,
                     kMaxDirectoryBytes));
  }
  return directory;
}

/// APPNOTE 4.5.3: those of the three values that did not fit, in this order.
void read_zip64_extra(Header& header, std::string_view extra) {
  while (extra.size() >= 4) {
    const auto id = number_at<uint16_t>(extra, 0);
    const auto length = number_at<uint16_t>(extra, 2);
    extra.remove_prefix(4);
    if (length > extra.size()) break;
    std::string_view field = extra.substr(0, length);
    extra.remove_prefix(length);
    if (id != kZip64Extra) continue;
    for (uint64_t* value : {&header.length, &header.bytes, &header.local_offset}) {
      if (*value != kElsewhere32 || field.size() < 8) continue;
      *value = number_at<uint64_t>(field, 0);
      field.remove_prefix(8);
    }
    break;
  }
}

Header Reader::parse_central_header(std::string_view directory, size_t& position) const {
  const std::string_view rest = directory.substr(position);
  if (rest.size() < kCentralHeaderBytes || number_at<uint32_t>(rest, 0) != kCentralHeader) {
    fail(fmt::format("the zip directory is damaged at byte {}", position));
  }
  const auto name_bytes = number_at<uint16_t>(rest, 28);
  const auto extra_bytes = number_at<uint16_t>(rest, 30);
  const auto comment_bytes = number_at<uint16_t>(rest, 32);
  const uint64_t bytes = kCentralHeaderBytes + name_bytes + extra_bytes + comment_bytes;
  if (bytes > rest.size()) {
    fail(fmt::format("the zip directory is damaged at byte {}", position));
  }
  position += bytes;
  Header header{.name = std::string(rest.substr(kCentralHeaderBytes, name_bytes)),
                .flags = number_at<uint16_t>(rest, 8),
                .method = number_at<uint16_t>(rest, 10),
                .bytes = number_at<uint32_t>(rest, 20),
                .length = number_at<uint32_t>(rest, 24),
                .local_offset = number_at<uint32_t>(rest, 42)};
  if ((header.flags & ~kKnownFlags) != 0) fail_entry(header.name, "encrypted, or of unknown kind");
  if (number_at<uint16_t>(rest, 34) != 0) fail("a zip archive of several disks");
  read_zip64_extra(header, rest.substr(kCentralHeaderBytes + name_bytes, extra_bytes));
  if (header.method == 0 && header.bytes != header.length) {
    fail_entry(header.name, "a stored entry with two different sizes");
  }
  return header;
}

ZipEntry Reader::check_local_header(const Header& header, uint64_t data_end) const {
  const uint64_t fixed = kLocalHeaderBytes + header.name.size();
  if (header.local_offset > data_end || data_end - header.local_offset < fixed) {
    fail_entry(header.name, "lies outside the file");
  }
  const std::string local = read_bytes(header.local_offset, fixed);
  // The sizes are 0 here where they follow the data, and elsewhere where they are large.
  const auto agrees = [&](uint32_t here, uint64_t there) {
    return here == there || here == kElsewhere32 ||
           (here == 0 && (header.flags & kSizesFollowData) != 0);
  };
  if (number_at<uint32_t>(local, 0) != kLocalHeader ||
      number_at<uint16_t>(local, 6) != header.flags ||
      number_at<uint16_t>(local, 8) != header.method ||
      !agrees(number_at<uint32_t>(local, 18), header.bytes) ||
      !agrees(number_at<uint32_t>(local, 22), header.length) ||
      number_at<uint16_t>(local, 26) != header.name.size() ||
      local.compare(kLocalHeaderBytes, std::string::npos, header.name) != 0) {
    fail_entry(header.name, "its local header differs from the zip directory");
  }
  const uint64_t offset = header.local_offset + fixed + number_at<uint16_t>(local, 28);
  if (offset > data_end || header.bytes > data_end - offset) {
    fail_entry(header.name,
               fmt::format("claims {} bytes, which lie outside the file", header.bytes));
  }
  return {offset, header.bytes, header.method};
}

std::map<std::string, ZipEntry> Reader::read() const {
  const Directory found = find_directory();
  const std::string directory = read_bytes(found.offset, found.bytes);
  std::vector<Header> headers;
  for (size_t position = 0; position < directory.size();) {
    headers.push_back(parse_central_header(directory, position));
  }
  if (headers.size() != found.entries) {
    fail(fmt::format("the zip directory holds {} entries and claims {}", headers.size(),
                     found.entries));
  }
  std::stable_sort(headers.begin(), headers.end(), [](const Header& a, const Header& b) {
    return a.local_offset < b.local_offset;
  });
  std::map<std::string, ZipEntry> entries;
  uint64_t free = 0;
  for (const Header& header : headers) {
    if (header.local_offset < free) fail_entry(header.name, "overlaps another one");
    const ZipEntry entry = check_local_header(header, found.offset);
    free = entry.offset + entry.bytes;
    if (!entries.try_emplace(header.name, entry).second) {
      fail_entry(header.name, "stands twice in the zip directory");
    }
  }
  return entries;
}

}  // namespace

std::map<std::string, ZipEntry> read_zip_directory(const InputFile& file) {
  return Reader(file).read();
}

}  // namespace sagesan
