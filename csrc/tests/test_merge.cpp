#include <cstdint>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
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

// All ways of merging refuse the sources with this error.
template <class Error>
void check_refused(const Sources& from, const NgramKeys& keys, const std::string& message) {
  Work work(2);
  CHECK_THROWS(Error, message, merged(from, keys, work));
  CHECK_THROWS(Error, message, tally(from, keys, work));
  CHECK_THROWS(Error, message, weighted_tallies(from, keys, {{1}}, work));
  if (keys.order == 1) return;
  MemorySink sink(make_gauge());
  CHECK_THROWS(Error, message, summarize(from, keys, sink, work));
}

// Merged by rows, whole ones and parts, and by a tournament, in 64 and in 128 bits.
const NgramKeys all_ways[] = {{1, 2},           {1, 50257}, {1, 2147483648}, {2, 63}, {2, 50257},
                              {2, 2147483648u}, {3, 1271},  {4, 50257},      {5, 2},  {5, 33554432}};

// Only a count file that is wrong can lead there.
void test_sums_beyond_64_bits_are_refused() {
  const std::uint64_t half = std::uint64_t{1} << 63;
  const std::string message = "an n-gram is counted too often";
  for (const NgramKeys& keys : all_ways) {
    const std::vector<RunPtr> halves(7, shared_run({{0, half}, {1, half}}));
    check_refused<std::overflow_error>(sources_of(halves, keys), keys, message);
    // Two n-grams of one beginning: it is the beginning that comes too often.
    if (keys.order == 1) continue;
    const std::vector<RunPtr> once{shared_run({{0, half}, {1, half}})};
    Work work(1);
    CHECK(merged(sources_of(once, keys), keys, work).entries == 2);
    MemorySink sink(make_gauge());
    CHECK_THROWS(std::overflow_error, message, summarize(sources_of(once, keys), keys, sink, work));
    Sources shorter;
    shorter.add(once, keys, 1);
    check_refused<std::overflow_error>(shorter, {keys.order - 1, keys.vocab_size}, message);
  }
}

void test_weighted_sums_beyond_64_bits_are_refused() {
  const std::uint64_t most_weight = (std::uint64_t{1} << 32) - 1;
  const std::uint64_t most_count = ~std::uint64_t{0} / most_weight;
  const NgramKeys keys(2, 4, 2);
  const WideKey second = WideKey{1} << keys.ngram_bits;
  Work work(1);
  const auto weighted = [&](const test::Counts& counts) {
    std::vector<RunPtr> runs;
    for (const auto& [key, count] : counts) runs.push_back(shared_run({{key, count}}));
    Sources from;
    from.add(runs, keys);
    return weighted_tallies(from, keys.ungrouped(), {{1, 0}, {most_weight, most_weight}}, work);
  };
  // Of one group alone, and of both.
  CHECK(weighted({{7, most_count}})[1].counts == std::vector<std::uint64_t>{most_count * most_weight});
  CHECK(weighted({{7, most_count - 1}, {second + 7, 1}})[1].counts ==
        std::vector<std::uint64_t>{most_count * most_weight});
  for (const test::Counts& counts :
       {test::Counts{{7, most_count + 1}}, test::Counts{{second + 7, most_count + 1}},
        test::Counts{{7, most_count}, {second + 7, 1}}, test::Counts{{7, ~std::uint64_t{0}}, {second + 7, 1}}}) {
    CHECK_THROWS(std::overflow_error, "an n-gram is counted too often", weighted(counts));
  }
}

void test_more_history_than_counts_is_refused() {
  const std::string message = "more of an n-gram is history than was counted";
  for (const NgramKeys& keys : all_ways) {
    if (keys.key_bits < 3) continue;
    // The same low bits in two rows, where there is more than one.
    const WideKey low = 1;
    const WideKey high = (WideKey{1} << (keys.key_bits - 1)) + 1;
    for (const WideKey counted : {low, high}) {
      const std::vector<RunPtr> plus{shared_run({{counted, 2}}), shared_run({{counted, 3}})};
      for (const test::Counts& history :
           {test::Counts{{low + high - counted, 1}}, test::Counts{{counted, 6}}, test::Counts{{counted - 1, 1}},
            test::Counts{{counted + 1, 1}}, test::Counts{{low, 5}, {high, 5}}}) {
        check_refused<std::invalid_argument>(sources(plus, {shared_run(history)}, keys), keys, message);
      }
      Work work(1);
      CHECK(merged(sources(plus, {shared_run({{counted, 5}})}, keys), keys, work).entries == 0);
    }
    check_refused<std::invalid_argument>(sources({}, {shared_run({{low, 1}})}, keys), keys, message);
  }
}

// A group may not have more history than counts, whatever the others have.
void test_history_of_another_group_is_refused() {
  const NgramKeys keys(2, 4, 2);
  Sources from;
  from.add({shared_run({{7, 5}})}, keys);
  from.subtract({shared_run({{(WideKey{1} << keys.ngram_bits) + 7, 1}})}, keys);
  Work work(1);
  CHECK_THROWS(std::invalid_argument, "more of an n-gram is history than was counted",
               weighted_tallies(from, keys.ungrouped(), {{1, 1}}, work));
}

}  // namespace

int main() {
  if (!mixlaw::test::threads_alone) test_counts_add_up();
  test_large_runs_are_merged_in_ranges();
  test_what_is_taken_away_goes();
  if (!mixlaw::test::threads_alone) test_a_difference_has_two_sides();
  test_sums_use_all_64_bits();
  test_sums_beyond_64_bits_are_refused();
  test_weighted_sums_beyond_64_bits_are_refused();
  test_more_history_than_counts_is_refused();
  test_history_of_another_group_is_refused();
  return mixlaw::test::finish();
}
