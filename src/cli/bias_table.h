#pragma once

#include "sagesan/jobs/inspect.h"

namespace sagesan::cli {

/// Prints the activation biases on each moments file, a column a model: by layer with the mean of
/// the linear modules; with `verbose` by site and tensor, too.
void print_bias_tables(const InspectResult& result, bool verbose);

}  // namespace sagesan::cli
