#pragma once

#include <cstdint>
#include <string>

#include "sagesan/sanitize/plan.h"
#include "sanitize_inputs.h"

namespace sagesan {

/// What a run will take in memory at its worst.
struct MemoryNeed {
  uint64_t bytes = 0;   ///< resident, the program itself included
  uint64_t most = 0;    ///< no run takes more: every spectrum is of the costly kind
  uint64_t hidden = 0;  ///< of these what a scratch file would save: the hidden states
  std::string place;    ///< where the most is: a site or a layer
};

/// The most that a run of `plan` takes, by a model of what each step holds at a time; within a
/// tenth of what is measured on three shapes (docs/performance.md). On a GPU nothing is known of
/// its memory: what is said is that of a run on the processor.
MemoryNeed memory_need(const SanitizeOptions& options, const SanitizeInputs& inputs,
                       const Plan& plan);

/// Whether the hidden states must go to a file for the run to keep within --max-memory, come what
/// may, or within the machine's memory where there is no such limit. Throws `InputError` where
/// --max-memory is not kept even so.
bool must_spill(const SanitizeOptions& options, const MemoryNeed& need);

}  // namespace sagesan
