// Counting within one row of keys without hashing: a table with a place for every key of the row, and a list of the
// places in use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "mixlaw/checked_count.hpp"
#include "mixlaw/run.hpp"

namespace mixlaw {

// A row is the 2^low_bits keys that agree in all but their low bits. Count must hold the largest count of a row.
template <class Count>
class Row {
 public:
  explicit Row(unsigned low_bits)
      : counts_(std::size_t{1} << low_bits),
        touched_(counts_.size() + 1),  // one more, since `add` writes before it knows
        sorted_(counts_.size() + 4),   // four more, since sort_touched writes four at once
        words_((counts_.size() + 63) / 64),
        bits_(words_.size()),
        summary_((words_.size() + 63) / 64) {}

  // Adds `count` >= 1 to one key of the row, given by its low bits. Throws std::overflow_error where the sum has more
  // bits than Count: the row is then good for nothing.
  void add(std::uint32_t low, Count count = 1) {
    Count& place = counts_[low];
    touched_[used_] = low;
    used_ += static_cast<std::size_t>(place == 0);
    // A sum that wrapped to 0 would be listed again and again, beyond the end of the list.
    add_count(place, count);
  }

  // Adds 1 for each of `n` keys given by their low bits.
  template <class Low>
  void add_all(const Low* lows, std::size_t n) {
    Count* const counts = counts_.data();
    std::uint32_t* const touched = touched_.data();
    std::size_t used = used_;
    for (std::size_t i = 0; i < n; ++i) {
      const std::uint32_t low = lows[i] & low_mask();
      touched[used] = low;
      used += static_cast<std::size_t>(counts[low]++ == 0);
    }
    used_ = used;
  }

  // Takes `count` from a key. Throws std::invalid_argument if it holds less: the row is then good for nothing.
  void subtract(std::uint32_t low, Count count) { subtract_count(counts_[low], count); }

  // Calls use(count) for every count of the row that is not 0, in no order, and empties the row.
  template <class Use>
  void drain(Use&& use) {
    for (std::size_t i = 0; i < used_; ++i) {
      const Count count = std::exchange(counts_[touched_[i]], 0);
      if (count != 0) use(count);
    }
    used_ = 0;
  }

  // Writes the row's keys whose count is not 0 in ascending order, each as base + low, and empties the row.
  template <class Key>
  void write(RunWriter<Key>& writer, Key base) {
    sort_touched();
    std::uint32_t* const lows = sorted_.data();
    std::uint32_t* const values = touched_.data();  // not needed any more
    Count* const counts = counts_.data();
    std::size_t n = 0;
    for (std::size_t i = 0; i < used_; ++i) {
      const std::uint32_t low = lows[i];
      const Count count = std::exchange(counts[low], 0);
      if (count > std::numeric_limits<std::uint32_t>::max()) {
        writer.write_row(base, lows, values, std::exchange(n, 0));
        writer.write(base + low, count);
        continue;
      }
      lows[n] = low;
      values[n] = static_cast<std::uint32_t>(count);
      n += static_cast<std::size_t>(count != 0);
    }
    writer.write_row(base, lows, values, n);
    used_ = 0;
  }

 private:
  static unsigned lowest_bit(std::uint64_t word) { return static_cast<unsigned>(__builtin_ctzll(word)); }

  std::uint32_t low_mask() const { return static_cast<std::uint32_t>(counts_.size() - 1); }

  // Sorts the places in use into sorted_, by way of a bitmap with a summary above it. Words of the bitmap mostly hold a
  // few bits: taking four at once, whether they are there or not, spares the processor a guess for every word.
  void sort_touched() {
    if (used_ == 1) {
      sorted_[0] = touched_[0];
      return;
    }
    const std::uint32_t* const touched = touched_.data();
    const std::size_t used = used_;
    std::uint64_t* const words = words_.data();
    std::uint8_t* const bits = bits_.data();
    std::uint64_t* const summary = summary_.data();
    for (std::size_t i = 0; i < used; ++i) {
      const std::uint32_t low = touched[i];
      words[low >> 6] |= std::uint64_t{1} << (low & 63);
      ++bits[low >> 6];
      summary[low >> 12] |= std::uint64_t{1} << ((low >> 6) & 63);
    }
    std::uint32_t* out = sorted_.data();
    const std::size_t summaries = summary_.size();
    for (std::size_t s = 0; s < summaries; ++s) {
      for (std::uint64_t in_use = std::exchange(summary[s], 0); in_use != 0; in_use &= in_use - 1) {
        const std::size_t w = s * 64 + lowest_bit(in_use);
        const auto base = static_cast<std::uint32_t>(w * 64);
        std::uint64_t word = std::exchange(words[w], 0);
        std::uint32_t* const end = out + std::exchange(bits[w], std::uint8_t{0});
        do {
          for (std::size_t i = 0; i < 4; ++i) {
            out[i] = base + lowest_bit(word | std::uint64_t{1} << 63);
            word &= word - 1;
          }
          out += 4;
        } while (out < end);
        out = end;
      }
    }
  }

  std::vector<Count> counts_;
  std::vector<std::uint32_t> touched_;
  std::size_t used_ = 0;
  std::vector<std::uint32_t> sorted_;
  std::vector<std::uint64_t> words_;    // bit `low` set: the key is in use
  std::vector<std::uint8_t> bits_;      // how many are set in each word
  std::vector<std::uint64_t> summary_;  // bit w set: words_[w] is not 0
};

}  // namespace mixlaw
