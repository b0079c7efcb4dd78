#include "check_moments.h"

#include <fmt/format.h>

#include "sagesan/support/error.h"

namespace sagesan {

void check_moments(const MomentsFile& moments, const std::string& identity,
                   const std::string& whose, const std::set<Site>& sites,
                   const std::map<std::string, Parameter>& parameters) {
  const auto fail = [&](const std::string& message) {
    throw InputError(moments.path().string(), message);
  };
  if (moments.origin().base_identity != identity)
    fail(fmt::format("the moments were collected on another model than the {}", whose));
  const auto channels = parameter_sites(parameters);
  for (const Site& site : sites) {
    const std::string name = site.name();
    const auto found = moments.sites().find(name);
    if (found == moments.sites().end())
      fail(fmt::format("holds no moment of site {}", quote(name)));
    const MomentShape& shape = found->second;
    if (shape.tokens == 0 && !site.is_expert())
      fail(fmt::format("site {}: the moment is empty", quote(name)));
    if (shape.channels != channels.at(site) || shape.diagonal != site.is_diagonal())
      fail(fmt::format("site {}: the moment has another shape", quote(name)));
  }
}

void compute_with_moments(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    if (error.code() != ExitCode::kInternal) throw;
    throw Error(ExitCode::kBadInput, error.what());
  }
}

}  // namespace sagesan
