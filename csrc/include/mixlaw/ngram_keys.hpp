// How n-grams become integers.
#pragma once

#include <cstdint>

namespace mixlaw {

// Holds every key. Counting and merging use 64 bits where those suffice.
using WideKey = unsigned __int128;

inline constexpr unsigned max_order = 5;
inline constexpr unsigned max_token_bits = 31;
inline constexpr unsigned max_groups = 256;
// One bit of a key's type stays free, for a key above all others.
inline constexpr unsigned max_narrow_bits = 63;
inline constexpr unsigned max_key_bits = 127;

// How many bits the numbers below `groups` take; none for one group.
unsigned group_bits_for(unsigned groups);

// How many bits the ids below `vocab_size` >= 1 take, at least 1.
unsigned token_bits_for(std::uint64_t vocab_size);

// Keys of n-grams of one order over one vocabulary: their tokens side by side, token_bits each, the first one highest.
// Where documents are counted in several groups, the number of the group stands above the tokens.
struct NgramKeys {
  // Requires 1 <= order <= max_order, 1 <= vocab_size <= 2^31, 1 <= groups <= max_groups and no more than max_key_bits.
  NgramKeys(unsigned order_, std::uint64_t vocab_size_, unsigned groups_ = 1);

  bool wide() const { return key_bits > max_narrow_bits; }
  // Whether a row holds a handful of n-grams at most, so that a table for it does not pay.
  bool sparse() const;

  // The same n-grams without their groups.
  NgramKeys ungrouped() const { return {order, vocab_size}; }

  unsigned order;
  std::uint64_t vocab_size;
  unsigned groups;
  unsigned token_bits;
  unsigned ngram_bits;  // order * token_bits
  unsigned key_bits;    // with the group
  // Keys that agree above their low bits, a row, are merged together in a table of 2^low_bits places. At most
  // token_bits: n-grams of a row differ in their last token alone.
  unsigned low_bits;
};

}  // namespace mixlaw
