#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "check.hpp"
#include "mixlaw/merge.hpp"
#include "mixlaw/run_memory.hpp"

namespace {

using namespace mixlaw;
using Counts = std::map<WideKey, std::uint64_t>;

RunPtr run_of(const Counts& counts, const NgramKeys& keys, std::mt19937_64& random) {
  MemorySink sink(make_gauge());
  RunWriter<WideKey> writer(sink);
  std::vector<std::vector<Segment>> segments;
  WideKey group = 0;
  for (const auto& [key, count] : counts) {
    if (std::exchange(group, key >> keys.ngram_bits) != key >> keys.ngram_bits || random() % 50 == 0) {
      segments.push_back(writer.finish());
    }
    writer.write(key, count);
  }
  segments.push_back(writer.finish());
  return std::make_shared<const Run>(sink.finish(joined(std::move(segments))));
}

// Counts of n-grams in groups, some of them taken away again, and what is left of each n-gram's beginning.
struct Example {
  Example(const NgramKeys& keys, unsigned longer, std::size_t entries, std::mt19937_64& random) {
    std::vector<RunPtr> plus;
    Counts all;
    for (std::uint64_t run = 0; run < 3; ++run) {
      Counts counts;
      for (std::size_t i = 0; i < entries; ++i) {
        WideKey key = random() % keys.groups;
        for (unsigned t = 0; t < keys.order; ++t) {
          const std::uint64_t most = random() % 3 == 0 ? keys.vocab_size : std::min<std::uint64_t>(keys.vocab_size, 6);
          key = key << keys.token_bits | random() % most;
        }
        // In tables of small counts, beyond them, beyond 16 bits, and beyond 32.
        const std::uint64_t ranges[] = {5, 5000, 70000, std::uint64_t{1} << 33};
        counts[key] = 1 + random() % ranges[random() % 4];
      }
      for (const auto& [key, count] : counts) all[key] += count;
      plus.push_back(run_of(counts, keys, random));
    }
    Counts taken;
    for (const auto& [key, count] : all) {
      if (random() % 4 == 0) taken[key] = random() % 3 == 0 ? count : 1 + random() % count;
    }
    sources.add(plus, keys, longer);
    sources.subtract({run_of(taken, keys, random)}, keys, longer);
    const WideKey ngram_mask = (WideKey{1} << keys.ngram_bits) - 1;
    for (const auto& [key, count] : all) {
      std::vector<std::uint64_t>& by_group = left[(key & ngram_mask) >> (longer * keys.token_bits)];
      by_group.resize(keys.groups);
      const auto found = taken.find(key);
      by_group[static_cast<std::size_t>(key >> keys.ngram_bits)] += count - (found == taken.end() ? 0 : found->second);
    }
  }

  Sources sources;
  std::map<WideKey, std::vector<std::uint64_t>> left;
};

std::map<std::uint64_t, std::uint64_t> histogram(const Example& example, const std::vector<std::uint64_t>& weights) {
  std::map<std::uint64_t, std::uint64_t> found;
  for (const auto& [key, by_group] : example.left) {
    std::uint64_t sum = 0;
    for (std::size_t g = 0; g < weights.size(); ++g) sum += by_group[g] * weights[g];
    if (sum > 0) ++found[sum];
  }
  return found;
}

// Zeros and small weights, as of a bootstrap; large ones; and such as do not fit in 16 bits.
std::vector<std::uint64_t> draw_weights(std::size_t groups, unsigned kind, std::mt19937_64& random) {
  std::vector<std::uint64_t> weights(groups);
  for (std::uint64_t& weight : weights) {
    weight = random() % (kind == 0 ? 3 : kind == 1 ? 100 : kind == 2 ? 70000 : random() % 50 == 0 ? 1u << 20 : 2);
  }
  return weights;
}

void test_weighted_tallies_are_those_of_a_plain_sum() {
  std::mt19937_64 random(1);
  const std::size_t rounds = test::threads_alone ? 10 : 40;
  for (std::size_t round = 0; round < rounds; ++round) {
    const unsigned groups[] = {1, 2, 3, 9, 32, 256};
    const std::uint64_t vocab_sizes[] = {2, 5, 300, 50257, 300000, std::uint64_t{1} << 25};
    const auto order = static_cast<unsigned>(1 + random() % 3);
    const auto longer = static_cast<unsigned>(random() % order);
    const NgramKeys keys(order, vocab_sizes[random() % 6], groups[random() % 6]);
    // Few and many entries: rows with one n-gram or less of every view, and with many.
    const Example example(keys, longer, random() % 2 == 0 ? random() % 400 : 8000, random);
    std::vector<std::vector<std::uint64_t>> weights(1 + random() % 70);
    const auto kind = static_cast<unsigned>(random() % 4);
    for (std::vector<std::uint64_t>& row : weights) row = draw_weights(keys.groups, kind, random);
    Work work(static_cast<unsigned>(1 + random() % 3), nullptr);
    const NgramKeys kept(order - longer, keys.vocab_size);
    const std::vector<CountOfCounts> found = weighted_tallies(example.sources, kept, weights, work);
    CHECK(found.size() == weights.size());
    for (std::size_t r = 0; r < weights.size(); ++r) {
      std::map<std::uint64_t, std::uint64_t> histogram_found;
      for (std::size_t i = 0; i < found[r].counts.size(); ++i) {
        histogram_found[found[r].counts[i]] = found[r].how_many[i];
      }
      CHECK(histogram_found == histogram(example, weights[r]));
      CHECK(std::is_sorted(found[r].counts.begin(), found[r].counts.end()));
    }
  }
}

}  // namespace

int main() {
  test_weighted_tallies_are_those_of_a_plain_sum();
  return mixlaw::test::finish();
}
