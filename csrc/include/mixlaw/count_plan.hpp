// How a limit of memory is shared out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "mixlaw/ngram_keys.hpp"

namespace mixlaw {

struct CountPlan {
  std::size_t block_tokens;   // counted together
  std::size_t task_tokens;    // sorted together, by one thread
  std::size_t pending_bytes;  // of small inputs, gathered until they are counted together
  std::size_t run_bytes;      // of runs in memory
};

// The plan under which counting n-grams with these keys keeps to so many bytes. Throws std::invalid_argument, with the
// least limit that would do, if that cannot be.
CountPlan make_plan(std::optional<std::uint64_t> memory_limit, unsigned threads, const NgramKeys& keys);

}  // namespace mixlaw
