// Counting one block of tokens into a run. There are three ways, by the width of the keys; all give the same counts.
#pragma once

#include <cstddef>
#include <vector>

#include "mixlaw/aligned.hpp"
#include "mixlaw/ngram_keys.hpp"
#include "mixlaw/run.hpp"
#include "mixlaw/run_storage.hpp"
#include "mixlaw/tokens.hpp"
#include "mixlaw/work.hpp"

namespace mixlaw {

// The most tokens of a block: counts within one fit in 32 bits, and memory stays within a few hundred MB.
inline constexpr std::size_t max_block = std::size_t{1} << 26;

// A range of a token array: the n-grams that end in [begin, end). Requires end - begin <= max_block.
struct Block {
  const Documents& documents;
  std::size_t begin;
  std::size_t end;
};

// What counting needs besides its input.
struct BlockRoom {
  const RunStorage& storage;  // of the run, which is made in memory
  std::size_t task_tokens;    // sorted together, by one thread
  // Working room that is best kept from one block to the next: fresh pages cost more time than their use.
  AlignedArray<std::uint32_t>& pairs;
  unsigned group = 0;  // of the documents

  // What is added to the keys of n-grams.
  WideKey base(const NgramKeys& keys) const { return WideKey{group} << keys.ngram_bits; }
};

// Counts the n-grams of a block by whichever way fits the keys. Throws TokenError for a token outside the vocabulary
// (any of them, if there are several) and Interrupted.
Run count_block(const Block& block, const NgramKeys& keys, const BlockRoom& room, Work& work);

// A table with a place for every possible key. Requires ngram_bits <= max_dense_bits.
inline constexpr unsigned max_dense_bits = 20;
Run count_dense(const Block& block, const NgramKeys& keys, const BlockRoom& room, Work& work);

// N-grams partitioned by their first token into groups that fit in the cache; pairs are then counted row by row, longer
// ones sorted. Requires an order of at least 2 and token_bits <= max_partitioned_bits.
inline constexpr unsigned max_partitioned_bits = 18;
// Whether 64 bits and a group of first tokens, of at least a 256th of the vocabulary, tell an n-gram.
bool packs_in_64_bits(const NgramKeys& keys);
Run count_partitioned(const Block& block, const NgramKeys& keys, const BlockRoom& room, Work& work);

// Sorted keys. For any keys.
Run count_sorted(const Block& block, const NgramKeys& keys, const BlockRoom& room, Work& work);

// Counts the n-grams that end a document which ends in (begin, end]. Documents shorter than an n-gram have none.
Run count_tails(const Block& block, const NgramKeys& keys, const BlockRoom& room, Work& work);

}  // namespace mixlaw
