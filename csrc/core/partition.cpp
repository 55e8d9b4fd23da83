#include "mixlaw/partition.hpp"

#include <numeric>

namespace mixlaw {
Grouping make_grouping(const std::vector<std::uint32_t>& mass, std::size_t target, std::size_t max_span) {
  const std::size_t vocab_size = mass.size();
  const std::uint64_t total = std::accumulate(mass.begin(), mass.end(), std::uint64_t{0});
  const std::uint64_t share = total / target + 1;
  Grouping grouping;
  grouping.group_of.resize(vocab_size);
  grouping.first.push_back(0);
  std::uint64_t held = 0;
  for (std::size_t token = 0; token < vocab_size; ++token) {
    const std::size_t begin = grouping.first.back();
    if (token > begin && (held + mass[token] > share || token - begin == max_span)) {
      grouping.first.push_back(static_cast<std::uint32_t>(token));
      held = 0;
    }
    held += mass[token];
    grouping.group_of[token] = static_cast<std::uint16_t>(grouping.first.size() - 1);
  }
  grouping.first.push_back(static_cast<std::uint32_t>(vocab_size));
  return grouping;
}

}  // namespace mixlaw
