#include <fmt/format.h>

#include <memory>
#include <set>

#include "moments_target.h"
#include "sagesan/activations/moments_file.h"
#include "sagesan/jobs/collect.h"
#include "sagesan/jobs/preflight.h"
#include "sagesan/support/error.h"

namespace sagesan {
namespace {

using Files = std::vector<std::unique_ptr<MomentsFile>>;

/// Throws where `file` cannot be added to `first`.
void check_same_kind(const MomentsFile& first, const MomentsFile& file) {
  const auto fail = [&](const std::string& message) {
    throw InputError(file.path().string(), message);
  };
  if (const std::string what = file.origin().difference(first.origin()); !what.empty())
    fail(fmt::format("{} is another than that of {}", what, printable(first.path().string())));
  for (const auto& [site, shape] : first.sites()) {
    const auto found = file.sites().find(site);
    if (found == file.sites().end()) fail(fmt::format("holds no moment of site {}", quote(site)));
    if (found->second.channels != shape.channels || found->second.diagonal != shape.diagonal)
      fail(fmt::format("site {}: the moment has another shape", quote(site)));
  }
  if (file.sites().size() != first.sites().size())
    fail("holds sites that " + printable(first.path().string()) + " lacks");
}

/// Rows stay rows while all together are fewer than channels.
std::map<std::string, MomentShape> merged_shapes(const Files& files) {
  std::map<std::string, MomentShape> shapes = files.front()->sites();
  for (auto& [site, shape] : shapes) {
    int64_t tokens = 0;
    for (const auto& file : files) tokens += file->sites().at(site).tokens.value_or(0);
    shape.tokens = tokens;
  }
  return shapes;
}

SiteMoment merged(const Files& files, const std::string& site) {
  SiteMoment result = files.front()->read(site, at::kCPU);
  for (size_t i = 1; i < files.size(); ++i) {
    const SiteMoment part = files[i]->read(site, at::kCPU);
    std::visit([&](auto& sum) { sum.merge(std::get<std::decay_t<decltype(sum)>>(part)); }, result);
  }
  return result;
}

}  // namespace

MomentsSummary merge(const MergeOptions& options, const Progress& progress,
                     const std::function<void(const std::string&)>& notice) {
  Preflight preflight;
  Files files;
  for (const auto& path : options.files)
    preflight.check([&] { files.push_back(std::make_unique<MomentsFile>(path)); });
  for (size_t i = 1; i < files.size(); ++i)
    preflight.check([&] { check_same_kind(*files.front(), *files[i]); });
  preflight.check([&] { check_moments_target(options.out, options.files, options.overwrite); });
  preflight.finish();

  MomentsOrigin origin = files.front()->origin();
  origin.retain_files.clear();
  std::set<std::string> seen;
  for (const auto& file : files) {
    for (const RetainFileReport& text : file->origin().retain_files) {
      if (!seen.insert(text.hash).second)
        notice(fmt::format("{} was collected more than once: its tokens count as often",
                           printable(text.name)));
      origin.retain_files.push_back(text);
    }
  }
  const auto shapes = merged_shapes(files);
  MomentsWriter writer(options.out, origin, shapes);
  double done = 0;
  for (const auto& [site, shape] : shapes) {
    writer.write(site, merged(files, site));
    if (progress) progress("merge", ++done, static_cast<double>(shapes.size()));
  }
  writer.commit(options.overwrite);
  return {static_cast<int64_t>(shapes.size()), origin.tokens()};
}

}  // namespace sagesan
