#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "sagesan/support/file.h"

namespace sagesan {

/// One file of a zip archive. Where it is stored, its bytes lie in the archive as they are.
struct ZipEntry {
  uint64_t offset = 0;  ///< of the first byte of the data in the archive
  uint64_t bytes = 0;   ///< in the archive
  uint16_t method = 0;  ///< of compression; 0: stored
};

/// The entries of a zip archive by name, from its central directory (PKWARE APPNOTE.TXT 6.3.10,
/// sections 4.3 to 4.5), zip64 too. Stricter than the format, because two readers that disagree
/// about one archive are how a bad one hides. Throws `InputError` for entries that are encrypted,
/// have one name, overlap, lie outside the file or differ from their local header; for archive
/// comments, several disks, and any byte between the directory and the end record. Checksums are
/// not compared: that would read the whole file first, and guards against damage alone.
std::map<std::string, ZipEntry> read_zip_directory(const InputFile& file);

}  // namespace sagesan
