// Copying a run, for files whose bytes depend on the counts alone.
#pragma once

#include "mixlaw/ngram_keys.hpp"
#include "mixlaw/run.hpp"
#include "mixlaw/work.hpp"

namespace mixlaw {

// The segments that the sink is given depend on the counts alone, and so do their order and cut: not on the segments
// of the run, or on threads. Throws Interrupted.
Run copy_run(const RunPtr& run, const NgramKeys& keys, RunSink& sink, Work& work);

}  // namespace mixlaw
