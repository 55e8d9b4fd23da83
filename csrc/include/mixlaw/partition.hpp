// Partitioning n-grams by their first token into groups that fit in the cache.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

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

// Packed n-grams, in chunks that belong to one group each. Filled by several GroupSorters, then read.
//
// Packed is an unsigned integer, and holds as many of the low bits of a key as fit: where the tokens of a group differ
// in those bits, the group tells the others.
template <class Packed>
class KeyGroups {
 public:
  static constexpr std::size_t chunk_keys = std::size_t{8192} / sizeof(Packed);

  // Room in `memory` for `keys` keys, and for the chunks that `writers` GroupSorters leave half full.
  KeyGroups(AlignedArray<std::uint32_t>& memory, const Grouping& grouping, std::size_t keys, std::size_t writers)
      : groups_(grouping.groups()),
        writers_(writers),
        before_(keys / chunk_keys + writers * groups_ + 1),
        tails_(writers * groups_) {
    memory.grow(before_.size() * chunk_keys * (sizeof(Packed) / sizeof(std::uint32_t)));
    memory_ = reinterpret_cast<Packed*>(memory.data());
  }

  // Calls use(packed, count) for every chunk of a group. All GroupSorters must have finished.
  template <class Use>
  void for_each_chunk(std::size_t group, Use&& use) const {
    for (std::size_t w = 0; w < writers_; ++w) {
      const Tail& tail = tails_[w * groups_ + group];
      std::size_t count = tail.count;
      for (std::uint32_t chunk = tail.chunk; chunk != no_chunk; chunk = before_[chunk]) {
        // The processor foresees the way through a chunk, but not where the next one lies.
        if (before_[chunk] != no_chunk) prefetch_head(memory_ + before_[chunk] * chunk_keys);
        use(memory_ + chunk * chunk_keys, count);
        count = chunk_keys;
      }
    }
  }

 private:
  template <class>
  friend class GroupSorter;
  static constexpr std::uint32_t no_chunk = ~std::uint32_t{0};

  static void prefetch_head(const Packed* chunk) {
    constexpr std::size_t lines = 4;
    constexpr std::size_t line_keys = 64 / sizeof(Packed);
    for (std::size_t line = 0; line < lines; ++line) __builtin_prefetch(chunk + line * line_keys);
  }

  // The last chunk of one writer's share of a group, and how many keys it holds.
  struct Tail {
    std::uint32_t chunk = no_chunk;
    std::uint32_t count = 0;
  };

  std::size_t groups_;
  std::size_t writers_;
  Packed* memory_;
  std::vector<std::uint32_t> before_;  // the chunk filled before this one
  std::vector<Tail> tails_;
  std::atomic<std::uint32_t> next_chunk_{0};
};

// Copies a full line of `bytes` bytes past the cache where the machine has a way to. Both are aligned to 64 bytes.
template <std::size_t bytes>
inline void stream_line(void* to, const void* from) {
#ifdef __SSE2__
  static_assert(bytes % sizeof(__m128i) == 0);
  for (std::size_t i = 0; i < bytes / sizeof(__m128i); ++i) {
    _mm_stream_si128(static_cast<__m128i*>(to) + i, _mm_load_si128(static_cast<const __m128i*>(from) + i));
  }
#else
  std::memcpy(to, from, bytes);
#endif
}

// Writes packed keys into groups, for one thread. Lines of keys are gathered in the cache and then written past it,
// since direct writes to hundreds of places at once would miss the cache and the translation buffer on every key.
template <class Packed>
class GroupSorter {
 public:
  GroupSorter(KeyGroups<Packed>& target, std::size_t writer, const Grouping& grouping)
      : target_(target),
        writer_(writer),
        grouping_(grouping),
        lines_(grouping.groups() * line_keys),
        places_(grouping.groups()),
        free_(grouping.groups()),
        chunks_(grouping.groups(), KeyGroups<Packed>::no_chunk) {
    for (std::size_t group = 0; group < places_.size(); ++group) {
      places_[group] = static_cast<std::uint32_t>(group * line_keys);
    }
  }

  // Adds the keys at(0), ..., at(n - 1): pairs of the first token and the packed key.
  template <class At>
  void add_each(std::size_t n, At&& at) {
    const std::uint16_t* const group_of = grouping_.group_of.data();
    Packed* const lines = lines_.data();
    std::uint32_t* const places = places_.data();
    for (std::size_t i = 0; i < n; ++i) {
      const auto [first, packed] = at(i);
      const std::size_t group = group_of[first];
      std::uint32_t place = places[group];
      lines[place++] = packed;
      if (place % line_keys == 0) {
        place -= line_keys;
        Packed* const to = room(group);
        stream_line<line_keys * sizeof(Packed)>(to, lines + place);
        free_[group] = to + line_keys;
      }
      places[group] = place;
    }
  }

  // Makes what has been added visible to other threads, lines still in the making excepted.
  void publish() {
#ifdef __SSE2__
    _mm_sfence();
#endif
  }

  // Hands over the last keys. Nothing may be added after that.
  void finish() {
    for (std::size_t group = 0; group < grouping_.groups(); ++group) {
      Packed* to = free_[group];
      const std::size_t held = places_[group] % line_keys;
      if (held > 0) {
        to = room(group);
        std::copy_n(lines_.data() + group * line_keys, held, to);
        to += held;
      }
      if (chunks_[group] == KeyGroups<Packed>::no_chunk) continue;
      const Packed* const begin = target_.memory_ + chunks_[group] * KeyGroups<Packed>::chunk_keys;
      target_.tails_[writer_ * grouping_.groups() + group] = {chunks_[group], static_cast<std::uint32_t>(to - begin)};
    }
  }

 private:
  static constexpr std::uint32_t line_keys = 256 / sizeof(Packed);

  // Where `group` may write its next line, in a new chunk if the last is full.
  Packed* room(std::size_t group) {
    Packed* const base = target_.memory_;
    const std::uint32_t chunk = chunks_[group];
    if (chunk != KeyGroups<Packed>::no_chunk && free_[group] != base + (chunk + 1) * KeyGroups<Packed>::chunk_keys) {
      return free_[group];
    }
    const std::uint32_t fresh = target_.next_chunk_++;
    target_.before_[fresh] = chunk;
    chunks_[group] = fresh;
    return base + fresh * KeyGroups<Packed>::chunk_keys;
  }

  KeyGroups<Packed>& target_;
  std::size_t writer_;
  const Grouping& grouping_;
  AlignedArray<Packed> lines_;
  std::vector<std::uint32_t> places_;  // where in lines_ each group's next key goes
  std::vector<Packed*> free_;          // where each group's next line goes
  std::vector<std::uint32_t> chunks_;  // the chunk that is being filled
};

}  // namespace mixlaw
