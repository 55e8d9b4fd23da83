#include "mixlaw/count_of_counts.hpp"

#include <map>

namespace mixlaw {

CountOfCounts count_of_counts(const std::vector<CountTally>& tallies) {
  std::map<std::uint64_t, std::uint64_t> sorted;
  for (const CountTally& tally : tallies) {
    for (std::size_t count = 1; count < CountTally::table_size; ++count) {
      if (tally.table_[count] > 0) sorted[count] += tally.table_[count];
    }
    for (const auto& [count, how_many] : tally.large_) sorted[count] += how_many;
  }
  CountOfCounts result;
  for (const auto& [count, how_many] : sorted) {
    result.counts.push_back(count);
    result.how_many.push_back(how_many);
  }
  return result;
}

}  // namespace mixlaw
