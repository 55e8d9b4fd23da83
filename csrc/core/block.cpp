#include "mixlaw/block.hpp"

namespace mixlaw {
namespace {

// Below this, the tables of the other ways cost more than the counting.
constexpr std::size_t small_block = std::size_t{1} << 14;

}  // namespace

bool packs_in_64_bits(const NgramKeys& keys) { return keys.ngram_bits <= 64 + 8; }

Run count_block(const Block& block, const NgramKeys& keys, const BlockRoom& room, Work& work) {
  if (block.end - block.begin < small_block) return count_sorted(block, keys, room, work);
  if (keys.ngram_bits <= max_dense_bits) return count_dense(block, keys, room, work);
  if (keys.order > 1 && keys.token_bits <= max_partitioned_bits) return count_partitioned(block, keys, room, work);
  return count_sorted(block, keys, room, work);
}

}  // namespace mixlaw
