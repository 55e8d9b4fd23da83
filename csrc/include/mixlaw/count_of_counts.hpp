// How often each count occurs: all that an entropy depends on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace mixlaw {

// how_many[i] n-grams were counted counts[i] times. Counts ascend.
struct CountOfCounts {
  std::vector<std::uint64_t> counts;
  std::vector<std::uint64_t> how_many;  // as many, each at least 1
};

// Collects counts, for one thread. Most counts are small and have a place in a table; a map holds the others.
class CountTally {
 public:
  // Counts of 0 are passed over.
  void add(std::uint64_t count, std::uint64_t how_many = 1) {
    if (count < table_size) {
      table_[count] += how_many;
    } else {
      large_[count] += how_many;
    }
  }

 private:
  friend CountOfCounts count_of_counts(const std::vector<CountTally>& tallies);

  static constexpr std::size_t table_size = 4096;
  std::vector<std::uint64_t> table_ = std::vector<std::uint64_t>(table_size);
  std::unordered_map<std::uint64_t, std::uint64_t> large_;
};

// What the tallies hold together.
CountOfCounts count_of_counts(const std::vector<CountTally>& tallies);

}  // namespace mixlaw
