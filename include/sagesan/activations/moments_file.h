#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "sagesan/activations/moments.h"
#include "sagesan/activations/moments_header.h"
#include "sagesan/checkpoint/safetensors_writer.h"
#include "sagesan/support/atomic_file.h"

namespace sagesan {

/// A moments file opened for reading; a site is read when it is asked for.
class MomentsFile {
 public:
  /// Throws as `MomentsHeader` does.
  explicit MomentsFile(const std::filesystem::path& path) : header_(path) {}

  const MomentsHeader& header() const { return header_; }
  const std::filesystem::path& path() const { return header_.file().path(); }
  const MomentsOrigin& origin() const { return header_.origin(); }
  const std::map<std::string, MomentShape>& sites() const { return header_.sites(); }
  /// On `device`. Throws `InputError` naming file and site where the file has none, or one that is
  /// not finite or contradicts itself.
  SiteMoment read(const std::string& site, at::Device device) const;

 private:
  Tensor read_tensor(const std::string& name) const;

  MomentsHeader header_;
};

/// Writes a moments file site by site, in any order; it appears complete or not at all.
class MomentsWriter {
 public:
  /// `sites` are those that will come.
  MomentsWriter(const std::filesystem::path& path, const MomentsOrigin& origin,
                const std::map<std::string, MomentShape>& sites);
  void write(const std::string& site, const SiteMoment& moment);
  void commit(bool overwrite);

 private:
  AtomicFile target_;
  SafetensorsWriter writer_;
};

}  // namespace sagesan
