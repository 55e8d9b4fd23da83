// Merging runs.
#pragma once

#include <vector>

#include "mixlaw/count_of_counts.hpp"
#include "mixlaw/ngram_keys.hpp"
#include "mixlaw/run.hpp"
#include "mixlaw/work.hpp"

namespace mixlaw {

// Counts that are sums and differences of those in runs. What is made of them throws std::invalid_argument where
// `minus` holds more of an n-gram than `plus`, std::overflow_error where a count has more than 64 bits.
struct Sources {
  std::vector<RunView> plus;
  std::vector<RunView> minus;
  bool wide = false;  // some run has keys of more than 63 bits

  // Adds runs without their groups, and without so many of the last tokens of their n-grams.
  void add(const std::vector<RunPtr>& runs, const NgramKeys& keys, unsigned longer = 0);
  void subtract(const std::vector<RunPtr>& runs, const NgramKeys& keys, unsigned longer = 0);
};

// Runs as they are, with their groups.
Sources sources_of(const std::vector<RunPtr>& runs, const NgramKeys& keys);

// The counts as one run, with those left out that come to 0. `keys` are the keys of the result. Throws Interrupted.
Run merge_runs(const Sources& sources, const NgramKeys& keys, RunSink& sink, Work& work);

// How often each count occurs in what merge_runs would give, in less time and without its memory.
CountOfCounts tally(const Sources& sources, const NgramKeys& keys, Work& work);

// For every row of `weights`, how often each count occurs if what documents of group g were counted is taken weights[g]
// times. Rows have as many numbers as there are groups, each below 2^32; the sources are without groups. Throws
// std::overflow_error as well where a count, taken as often as the largest weight says, has more than 64 bits.
std::vector<CountOfCounts> weighted_tallies(const Sources& sources, const NgramKeys& keys,
                                            const std::vector<std::vector<std::uint64_t>>& weights, Work& work);

// The same as tally, and how often each n-gram without its last token begins one: of pairs, the counts of their first
// tokens. Requires an order of at least 2.
struct Summary {
  CountOfCounts counts;
  Run prefixes;
};
Summary summarize(const Sources& sources, const NgramKeys& keys, RunSink& prefix_sink, Work& work);

// a - b where that is above 0, and b - a where that is; either may have no runs. The segments that the sinks are given
// depend on the counts alone, and so do their order and cut. Throws Interrupted.
struct Difference {
  Run above;
  Run below;
};
Difference difference(const RunPtr& a, const RunPtr& b, const NgramKeys& keys, RunSink& above, RunSink& below,
                      Work& work);

}  // namespace mixlaw
