#include <cstdint>
#include <memory>
#include <random>
#include <stdexcept>
#include <vector>

#include "check.hpp"
#include "mixlaw/merge.hpp"
#include "streams.hpp"

namespace {

using namespace mixlaw;

Sources sources(const std::vector<RunPtr>& plus, const std::vector<RunPtr>& minus, const NgramKeys& keys) {
  Sources result = sources_of(plus, keys);
  result.subtract(minus, keys);
  return result;
}

Run merged(const Sources& from, const NgramKeys& keys, Work& work) {
  MemorySink sink(make_gauge());
  return merge_runs(from, keys, sink, work);
}

RunPtr shared_run(const test::Counts& counts) { return std::make_shared<const Run>(test::run_of(counts)); }

test::Counts random_counts(std::size_t entries, unsigned bits, std::mt19937_64& random) {
  test::Counts counts;
  while (counts.size() < entries) counts[(WideKey{random()} << 64 | random()) >> (128 - bits)] = 1 + random() % 1000;
  return counts;
}

void check_summary(const std::vector<RunPtr>& runs, const test::Counts& sum, const NgramKeys& keys, Work& work) {
  test::Counts counts;
  test::Counts prefixes;
  for (const auto& [key, count] : sum) {
    ++counts[count];
    prefixes[key >> keys.token_bits] += count;
  }
  MemorySink sink(make_gauge());
  const Summary summary = summarize(sources_of(runs, keys), keys, sink, work);
  CHECK(test::counts_of(summary.prefixes) == prefixes);
  for (const CountOfCounts& found : {summary.counts, tally(sources_of(runs, keys), keys, work)}) {
    CHECK(found.counts.size() == counts.size() && found.how_many.size() == counts.size());
    std::size_t i = 0;
    for (const auto& [count, how_many] : counts) {
      CHECK(found.counts[i] == count && found.how_many[i] == how_many);
      ++i;
    }
  }
  // The runs seen without their last tokens.
  Sources shorter;
  shorter.add(runs, keys, 1);
  CHECK(test::counts_of(merged(shorter, {keys.order - 1, keys.vocab_size}, work)) == prefixes);
}

void test_counts_add_up() {
  std::mt19937_64 random(1);
  std::vector<NgramKeys> all;
  for (const std::uint64_t vocab_size : {2u, 1271u, 65536u, 262144u, 2147483648u}) all.emplace_back(2, vocab_size);
  for (const unsigned order : {3u, 4u, 5u}) all.emplace_back(order, 50257);
  for (const NgramKeys& keys : all) {
    for (const std::size_t runs : {0u, 1u, 2u, 9u}) {
      std::vector<RunPtr> plus;
      test::Counts sum;
      for (std::size_t run = 0; run < runs; ++run) {
        const test::Counts counts = random_counts(keys.key_bits < 13 ? 2 : 3000, keys.key_bits, random);
        for (const auto& [key, count] : counts) sum[key] += count;
        plus.push_back(shared_run(counts));
      }
      plus.push_back(std::make_shared<const Run>());
      Work work(2);
      CHECK(test::counts_of(merged(sources_of(plus, keys), keys, work)) == sum);
      check_summary(plus, sum, keys, work);
    }
  }
}

void test_large_runs_are_merged_in_ranges() {
  // About 12 MB of runs, of which a task takes 4.
  std::mt19937_64 random(2);
  const NgramKeys keys(2, 65536);
  std::vector<RunPtr> plus;
  test::Counts sum;
  for (int run = 0; run < 3; ++run) {
    test::Counts counts;
    WideKey key = 0;
    for (int i = 0; i < 1000000; ++i) {
      key += 1 + random() % 8000;
      counts.emplace_hint(counts.end(), key, 1 + random() % 300);
    }
    for (const auto& [at, count] : counts) sum[at] += count;
    plus.push_back(shared_run(counts));
  }
  for (const unsigned threads : {1u, 4u}) {
    Work work(threads);
    CHECK(test::counts_of(merged(sources_of(plus, keys), keys, work)) == sum);
    check_summary(plus, sum, keys, work);
  }
}

void test_what_is_taken_away_goes() {
  const NgramKeys keys(1, 100);
  const std::vector<RunPtr> plus{shared_run({{1, 5}, {2, 7}, {99, 1}}), shared_run({{1, 1}, {50, 3}})};
  const std::vector<RunPtr> minus{shared_run({{1, 2}, {99, 1}}), shared_run({{1, 4}, {50, 1}})};
  Work work(1);
  CHECK((test::counts_of(merged(sources(plus, minus, keys), keys, work)) == test::Counts{{2, 7}, {50, 2}}));
  CHECK(merged(sources(plus, plus, keys), keys, work).entries == 0);
}

void test_a_difference_has_two_sides() {
  std::mt19937_64 random(3);
  for (const NgramKeys& keys : {NgramKeys(2, 100), NgramKeys(5, 50257)}) {
    const test::Counts a = random_counts(2000, keys.key_bits, random);
    test::Counts b = random_counts(2000, keys.key_bits, random);
    for (const auto& [key, count] : a) {
      if (count % 3 == 0) b[key] = count + count % 5 - 2;
    }
    test::Counts above;
    test::Counts below;
    for (const auto& [key, count] : a) {
      if (b.count(key) == 0 || count > b[key]) above[key] = count - (b.count(key) > 0 ? b[key] : 0);
    }
    for (const auto& [key, count] : b) {
      if (a.count(key) == 0 || count > a.at(key)) below[key] = count - (a.count(key) > 0 ? a.at(key) : 0);
    }
    Work work(1);
    MemorySink to_above(make_gauge());
    MemorySink to_below(make_gauge());
    const Difference found = difference(shared_run(a), shared_run(b), keys, to_above, to_below, work);
    CHECK(test::counts_of(found.above) == above);
    CHECK(test::counts_of(found.below) == below);
  }
}

void test_sums_use_all_64_bits() {
  const NgramKeys keys(1, 10);
  const std::uint64_t half = std::uint64_t{1} << 63;
  Work work(1);
  const std::vector<RunPtr> halves{shared_run({{3, half}}), shared_run({{3, half - 1}})};
  const Run run = merged(sources_of(halves, keys), keys, work);
  CHECK((test::counts_of(run) == test::Counts{{3, ~std::uint64_t{0}}}));
}

// Only a count file that is wrong can lead there.
void test_sums_beyond_64_bits_or_below_0_are_refused() {
  const std::uint64_t half = std::uint64_t{1} << 63;
  Work work(1);
  for (const std::uint64_t vocab_size : {2u, 50257u}) {
    const NgramKeys keys(1, vocab_size);
    const std::vector<RunPtr> halves(7, shared_run({{0, half}, {1, half}}));
    CHECK_THROWS(std::overflow_error, "an n-gram is counted too often", merged(sources_of(halves, keys), keys, work));
    CHECK_THROWS(std::overflow_error, "an n-gram is counted too often", tally(sources_of(halves, keys), keys, work));
    for (const test::Counts& history : {test::Counts{{0, 6}}, test::Counts{{1, 1}}}) {
      CHECK_THROWS(std::invalid_argument, "more of an n-gram is history than was counted",
                   merged(sources({shared_run({{0, 5}})}, {shared_run(history)}, keys), keys, work));
    }
  }
}

}  // namespace

int main() {
  if (!mixlaw::test::threads_alone) test_counts_add_up();
  test_large_runs_are_merged_in_ranges();
  test_what_is_taken_away_goes();
  if (!mixlaw::test::threads_alone) test_a_difference_has_two_sides();
  test_sums_use_all_64_bits();
  test_sums_beyond_64_bits_or_below_0_are_refused();
  return mixlaw::test::finish();
}
