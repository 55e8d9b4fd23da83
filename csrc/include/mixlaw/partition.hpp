// Partitioning pairs of tokens by their first token into groups that fit in the cache.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "mixlaw/aligned.hpp"
#include "mixlaw/block.hpp"

namespace mixlaw {

// Which group a first token belongs to: group g holds the tokens [first[g], first[g + 1]).
struct Grouping {
  std::vector<std::uint16_t> group_of;  // vocab_size of them
  std::vector<std::uint32_t> first;     // groups + 1 of them
  std::size_t groups() const { return first.size() - 1; }
};

// The lines that gather the pairs of so many groups fit in the second-level cache.
inline constexpr std::size_t most_groups = 512;

// Groups of about equal mass, some `target` of them: mass[x] says how often token x comes first, roughly. A group spans
// at most max_span tokens, and a token as heavy as a group has one of its own. There must come out no more than 2^16
// groups, which 2 * target + vocab_size / max_span <= 2^16 ensures.
Grouping make_grouping(const std::vector<std::uint32_t>& mass, std::size_t target, std::size_t max_span);

// Packed pairs, in chunks that belong to one group each. Filled by several PairSorters, then read.
//
// A pair (x, y) is packed as the low 32 bits of x << token_bits | y. With groups that span at most 2^(32 - token_bits)
// tokens the group tells the bits of x that are lost.
class PairGroups {
 public:
  static constexpr std::size_t chunk_pairs = 2048;

  // Room in `memory` for `pairs` pairs, and for the chunks that `writers` PairSorters leave half full.
  PairGroups(AlignedArray<std::uint32_t>& memory, const Grouping& grouping, std::size_t pairs, std::size_t writers);

  // Calls use(packed, count) for every chunk of a group. All PairSorters must have finished.
  template <class Use>
  void for_each_chunk(std::size_t group, Use&& use) const {
    for (std::size_t w = 0; w < writers_; ++w) {
      const Tail& tail = tails_[w * groups_ + group];
      std::size_t count = tail.count;
      for (std::uint32_t chunk = tail.chunk; chunk != no_chunk; chunk = before_[chunk]) {
        // The processor foresees the way through a chunk, but not where the next one lies.
        if (before_[chunk] != no_chunk) prefetch_head(memory_ + before_[chunk] * chunk_pairs);
        use(memory_ + chunk * chunk_pairs, count);
        count = chunk_pairs;
      }
    }
  }

 private:
  friend class PairSorter;
  static constexpr std::uint32_t no_chunk = ~std::uint32_t{0};

  static void prefetch_head(const std::uint32_t* chunk) {
    constexpr std::size_t lines = 4;
    constexpr std::size_t line_pairs = 64 / sizeof(std::uint32_t);
    for (std::size_t line = 0; line < lines; ++line) __builtin_prefetch(chunk + line * line_pairs);
  }

  // The last chunk of one writer's share of a group, and how many pairs it holds.
  struct Tail {
    std::uint32_t chunk = no_chunk;
    std::uint32_t count = 0;
  };

  std::size_t groups_;
  std::size_t writers_;
  std::uint32_t* memory_;
  std::vector<std::uint32_t> before_;  // the chunk filled before this one
  std::vector<Tail> tails_;
  std::atomic<std::uint32_t> next_chunk_{0};
};

// Writes pairs into groups, for one thread. Lines of pairs are gathered in the cache and then written past it, since
// direct writes to hundreds of places at once would miss the cache and the translation buffer on every pair.
class PairSorter {
 public:
  PairSorter(PairGroups& target, std::size_t writer, const Grouping& grouping, unsigned token_bits);

  // Adds the count - 1 pairs of `count` adjacent tokens.
  void add(const std::uint32_t* tokens, std::size_t count);
  // Makes what has been added visible to other threads, lines still in the making excepted.
  void publish();
  // Hands over the last pairs. Nothing may be added after that.
  void finish();

 private:
  static constexpr std::uint32_t line_pairs = 64;

  std::uint32_t* room(std::size_t group);

  PairGroups& target_;
  std::size_t writer_;
  const Grouping& grouping_;
  unsigned token_bits_;
  AlignedArray<std::uint32_t> lines_;
  std::vector<std::uint32_t> places_;  // where in lines_ each group's next pair goes
  std::vector<std::uint32_t*> free_;   // where each group's next line goes
  std::vector<std::uint32_t> chunks_;  // the chunk that is being filled
};

}  // namespace mixlaw
