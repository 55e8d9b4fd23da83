#include <cstdint>
#include <numeric>
#include <vector>

#include "check.hpp"
#include "mixlaw/partition.hpp"
#include "streams.hpp"

namespace {

using namespace mixlaw;

void check_covers(const Grouping& grouping, std::size_t vocab_size, std::size_t max_span) {
  CHECK(grouping.first.front() == 0 && grouping.first.back() == vocab_size);
  CHECK(grouping.group_of.size() == vocab_size);
  for (std::size_t group = 0; group < grouping.groups(); ++group) {
    CHECK(grouping.first[group] < grouping.first[group + 1]);
    CHECK(grouping.first[group + 1] - grouping.first[group] <= max_span);
    for (std::uint32_t token = grouping.first[group]; token < grouping.first[group + 1]; ++token) {
      CHECK(grouping.group_of[token] == group);
    }
  }
}

void test_groups_cover_the_vocabulary_and_balance_its_mass() {
  std::vector<std::uint32_t> mass(1271);
  for (std::size_t token = 0; token < mass.size(); ++token) mass[token] = static_cast<std::uint32_t>(token % 63);
  const std::uint64_t total = std::accumulate(mass.begin(), mass.end(), std::uint64_t{0});
  const Grouping grouping = make_grouping(mass, 16, 1271);
  check_covers(grouping, mass.size(), 1271);
  CHECK(grouping.groups() >= 15 && grouping.groups() <= 18);
  for (std::size_t group = 0; group < grouping.groups(); ++group) {
    const std::uint64_t held = std::accumulate(mass.begin() + grouping.first[group],
                                               mass.begin() + grouping.first[group + 1], std::uint64_t{0});
    CHECK(held <= total / 16 + 1);
  }
}

void test_a_heavy_token_is_alone() {
  std::vector<std::uint32_t> mass(255, 1);
  mass[100] = 1000;
  const Grouping grouping = make_grouping(mass, 4, 255);
  check_covers(grouping, mass.size(), 255);
  const std::size_t group = grouping.group_of[100];
  CHECK(grouping.first[group] == 100 && grouping.first[group + 1] == 101);
}

void test_no_group_spans_too_many_tokens() {
  check_covers(make_grouping(std::vector<std::uint32_t>(1000), 1, 64), 1000, 64);
  check_covers(make_grouping(std::vector<std::uint32_t>(1), 512, 64), 1, 64);
  check_covers(make_grouping(std::vector<std::uint32_t>(64, 5), 1, 64), 64, 64);
}

void test_every_pair_arrives_in_its_group_once() {
  constexpr std::size_t writers = 3;
  constexpr std::uint32_t vocab_size = 200000;
  const NgramKeys keys(2, vocab_size);
  const test::Stream stream = test::skewed_stream(60001, vocab_size, 100000, 3);
  const std::size_t max_span = std::size_t{1} << (32 - keys.token_bits);
  const Grouping grouping = make_grouping(std::vector<std::uint32_t>(vocab_size, 1), 7, max_span);
  AlignedArray<std::uint32_t> memory;
  KeyGroups<std::uint32_t> pairs(memory, grouping, stream.tokens.size(), writers);
  for (std::size_t writer = 0; writer < writers; ++writer) {
    GroupSorter<std::uint32_t> sorter(pairs, writer, grouping);
    for (std::size_t from = writer; from + 1 < stream.tokens.size(); from += writers) {
      const std::uint32_t first = stream.tokens[from];
      const std::uint32_t packed = first << keys.token_bits | stream.tokens[from + 1];
      sorter.add_each(1, [=](std::size_t) { return std::pair{first, packed}; });
    }
    sorter.publish();
    sorter.finish();
  }
  test::Counts found;
  for (std::size_t group = 0; group < grouping.groups(); ++group) {
    const std::uint32_t first = grouping.first[group];
    pairs.for_each_chunk(group, [&](const std::uint32_t* packed, std::size_t count) {
      CHECK(count > 0 && count <= KeyGroups<std::uint32_t>::chunk_keys);
      for (std::size_t i = 0; i < count; ++i) {
        const std::uint64_t row = ((packed[i] >> keys.token_bits) - first) & (max_span - 1);
        ++found[(first + row) << keys.token_bits | (packed[i] & ((1u << keys.token_bits) - 1))];
      }
    });
  }
  const test::Stream whole{stream.tokens, {0, static_cast<std::int64_t>(stream.tokens.size())}};
  CHECK(found == test::plain_counts(whole, 0, whole.tokens.size(), keys));
}

}  // namespace

int main() {
  test_groups_cover_the_vocabulary_and_balance_its_mass();
  test_a_heavy_token_is_alone();
  test_no_group_spans_too_many_tokens();
  test_every_pair_arrives_in_its_group_once();
  return mixlaw::test::finish();
}
