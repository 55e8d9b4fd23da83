#include "mixlaw/count_plan.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

#include "mixlaw/block.hpp"
#include "mixlaw/partition.hpp"

namespace mixlaw {
namespace {

constexpr std::size_t kib = 1024;
constexpr std::size_t mib = 1024 * kib;

// Larger blocks repeat more of their n-grams, and leave less to merge.
constexpr std::size_t most_block_tokens = std::size_t{1} << 25;
static_assert(most_block_tokens <= max_block);
constexpr std::size_t least_block_tokens = std::size_t{1} << 16;
constexpr std::size_t most_task_tokens = std::size_t{1} << 20;
constexpr std::size_t least_task_tokens = std::size_t{1} << 15;
constexpr std::size_t most_pending_bytes = 64 * mib;

// Bytes that counting takes besides the runs.
struct Needs {
  std::size_t always;      // whatever the block
  double per_block_token;  // for the block, and for the run that it becomes if none of its n-grams repeats
  std::size_t per_task_token;
};

Needs needs_of(unsigned threads, const NgramKeys& keys) {
  const std::size_t row = std::size_t{1} << keys.low_bits;
  // Buffers of writers and stacks, and for every place of a row a count, its place in two lists, and some bits.
  std::size_t per_thread = 512 * kib + 17 * row;
  std::size_t always = 4 * mib;
  double per_block_token = 0.0;
  std::size_t per_task_token = 0;
  // Sorted at random, keys of a block are 2^(key_bits - 16) apart or less on average.
  const double run_bytes = 2.0 + std::max(0.0, keys.key_bits - 16.0) / 7.0;
  if (keys.ngram_bits <= max_dense_bits) {
    per_thread += sizeof(std::uint32_t) << keys.ngram_bits;
  } else if (keys.order > 1 && keys.token_bits <= max_partitioned_bits) {
    // Tables of rows for pairs; chunks and lines of groups; the groups of the vocabulary.
    const std::size_t packed = keys.order == 2          ? sizeof(std::uint32_t)
                               : packs_in_64_bits(keys) ? sizeof(std::uint64_t)
                                                        : sizeof(WideKey);
    per_thread += 13 * row + most_groups * (8 * kib + 512);
    always += 8 * keys.vocab_size;
    per_block_token = 1.05 * static_cast<double>(packed) + run_bytes;
    if (keys.order > 2) per_task_token = 2 * threads * packed;
  } else {
    // The sorted tasks of a block stand beside what they are merged into.
    per_block_token = 2.0 * run_bytes;
    per_task_token = 2 * threads * (keys.wide() ? sizeof(WideKey) : sizeof(std::uint64_t));
  }
  // Documents of a group are gathered from the input.
  if (keys.groups > 1) per_block_token += sizeof(std::uint32_t) + 1.0;
  return {always + threads * per_thread, per_block_token, per_task_token};
}

}  // namespace

CountPlan make_plan(std::optional<std::uint64_t> memory_limit, unsigned threads, const NgramKeys& keys) {
  if (!memory_limit) {
    return {most_block_tokens, most_task_tokens, most_pending_bytes, std::numeric_limits<std::size_t>::max()};
  }
  const Needs needs = needs_of(threads, keys);
  const auto limit = static_cast<std::size_t>(*memory_limit);
  // A half for runs and small inputs, a half for counting; of that, a quarter for sorting.
  const auto least = 2 * (needs.always + static_cast<std::size_t>(needs.per_block_token * least_block_tokens) +
                          needs.per_task_token * least_task_tokens);
  if (limit < least) {
    throw std::invalid_argument("memory_limit is " + std::to_string(limit) + " bytes, but order " +
                                std::to_string(keys.order) + ", vocab_size " + std::to_string(keys.vocab_size) +
                                " and " + std::to_string(threads) + " threads need at least " + std::to_string(least));
  }
  CountPlan plan{};
  std::size_t left = limit / 2 - needs.always;
  plan.task_tokens = most_task_tokens;
  if (needs.per_task_token > 0) {
    plan.task_tokens = std::clamp(left / 2 / needs.per_task_token, least_task_tokens, most_task_tokens);
    left -= plan.task_tokens * needs.per_task_token;
  }
  plan.block_tokens = most_block_tokens;
  if (needs.per_block_token > 0.0) {
    plan.block_tokens = std::clamp(static_cast<std::size_t>(static_cast<double>(left) / needs.per_block_token),
                                   least_block_tokens, most_block_tokens);
  }
  plan.pending_bytes = std::min(limit / 32, most_pending_bytes);
  plan.run_bytes = limit / 2 - plan.pending_bytes;
  return plan;
}

}  // namespace mixlaw
