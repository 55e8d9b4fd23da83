#include "mixlaw/ngram_keys.hpp"

#include "mixlaw/block.hpp"

namespace mixlaw {
namespace {

// Where rows need not be whole: a table that fits in the second-level cache.
constexpr unsigned part_of_row_bits = 16;

}  // namespace

unsigned token_bits_for(std::uint64_t vocab_size) {
  unsigned bits = 1;
  while ((vocab_size - 1) >> bits != 0) ++bits;
  return bits;
}

unsigned group_bits_for(unsigned groups) { return groups == 1 ? 0 : token_bits_for(groups); }

NgramKeys::NgramKeys(unsigned order_, std::uint64_t vocab_size_, unsigned groups_)
    : order(order_),
      vocab_size(vocab_size_),
      groups(groups_),
      token_bits(token_bits_for(vocab_size_)),
      ngram_bits(order_ * token_bits),
      key_bits(ngram_bits + group_bits_for(groups_)),
      low_bits(token_bits <= max_partitioned_bits ? token_bits : part_of_row_bits) {}

bool NgramKeys::sparse() const { return order > 2 || (order == 2 && token_bits > max_partitioned_bits); }

}  // namespace mixlaw
