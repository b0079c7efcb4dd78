#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>

#include "sagesan/activations/moments_file.h"
#include "sagesan/model/parameters.h"

namespace sagesan {

/// Throws `InputError` naming the file where its moments were collected on another model than the
/// one with `identity`, which messages call the `whose` one, or where one of `sites` is missing,
/// empty or of another shape than `parameters` say.
void check_moments(const MomentsFile& moments, const std::string& identity,
                   const std::string& whose, const std::set<Site>& sites,
                   const std::map<std::string, Parameter>& parameters);

/// Calls `action`, which computes with collected moments: a stranger's numbers, so that what fails
/// is bad input and no bug of ours.
void compute_with_moments(const std::function<void()>& action);

}  // namespace sagesan
