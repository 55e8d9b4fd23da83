// Going through many runs at once, in the order of their keys.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "mixlaw/merge.hpp"
#include "mixlaw/ngram_keys.hpp"
#include "mixlaw/run.hpp"

namespace mixlaw {

// Compressed input of one task: some milliseconds of work.
inline constexpr std::size_t task_bytes = std::size_t{1} << 22;
inline constexpr std::size_t cursor_bytes = std::size_t{1} << 18;

// Keys that cut the views into ranges of about task_bytes each, none of which reaches into two groups; begins with 0
// and ends with end_key. They are multiples of 2^whole_bits.
template <class Key>
std::vector<Key> cut(const Sources& sources, const NgramKeys& keys, unsigned whole_bits) {
  std::vector<std::pair<Key, std::size_t>> starts;
  for (const RunView& view : sources.plus) {
    for (std::size_t i = view.first_segment; i < view.last_segment; ++i) {
      const Segment& segment = view.run->segments[i];
      const Key key = static_cast<Key>(static_cast<Key>(segment.first_key) - static_cast<Key>(view.base)) >> view.shift;
      starts.emplace_back(key >> whole_bits << whole_bits, segment.size);
    }
  }
  std::sort(starts.begin(), starts.end());
  // To begin a range, every cursor reads half a segment for nothing.
  const std::size_t enough = task_bytes + sources.plus.size() * cursor_bytes;
  std::vector<Key> cuts{0};
  std::size_t bytes = 0;
  for (const auto& [key, size] : starts) {
    const bool next_group = key >> keys.ngram_bits != cuts.back() >> keys.ngram_bits;
    if (next_group || (bytes >= enough && key > cuts.back())) {
      cuts.push_back(next_group ? static_cast<Key>(key >> keys.ngram_bits << keys.ngram_bits) : key);
      bytes = 0;
    }
    bytes += size;
  }
  cuts.push_back(RunCursor<Key>::end_key);
  return cuts;
}

template <class Key>
std::vector<RunCursor<Key>> cursors_at(const std::vector<RunView>& views, Key from) {
  std::vector<RunCursor<Key>> cursors;
  cursors.reserve(views.size());
  for (const RunView& view : views) cursors.emplace_back(view, from);
  return cursors;
}

// Cursors in the order of their keys; of equal keys, the first cursor goes first.
template <class Key>
class Tournament {
 public:
  explicit Tournament(std::vector<RunCursor<Key>> cursors) : cursors_(std::move(cursors)) {
    while (leaves_ < cursors_.size()) leaves_ *= 2;
    keys_.resize(leaves_, RunCursor<Key>::end_key);
    for (std::size_t i = 0; i < cursors_.size(); ++i) keys_[i] = cursors_[i].key();
    winners_.resize(2 * leaves_);
    for (std::size_t i = 0; i < leaves_; ++i) winners_[leaves_ + i] = static_cast<std::uint32_t>(i);
    for (std::size_t node = leaves_; node-- > 1;) play(node);
  }

  // The least key of all cursors, and which cursor stands there.
  Key key() const { return keys_[first()]; }
  std::uint32_t first() const { return winners_[1]; }
  std::uint64_t count() const { return cursors_[first()].count(); }
  void next() {
    const std::uint32_t moved = first();
    cursors_[moved].next();
    keys_[moved] = cursors_[moved].key();
    for (std::size_t node = (leaves_ + moved) / 2; node > 0; node /= 2) play(node);
  }

 private:
  void play(std::size_t node) {
    const std::uint32_t left = winners_[2 * node];
    const std::uint32_t right = winners_[2 * node + 1];
    winners_[node] = keys_[right] < keys_[left] ? right : left;
  }

  std::vector<RunCursor<Key>> cursors_;
  std::size_t leaves_ = 2;
  std::vector<Key> keys_;
  std::vector<std::uint32_t> winners_;  // of the cursors below each node; node 1 is above all
};

}  // namespace mixlaw
