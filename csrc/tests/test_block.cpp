#include <cstdint>
#include <utility>
#include <vector>

#include "check.hpp"
#include "mixlaw/block.hpp"
#include "streams.hpp"

namespace {

using namespace mixlaw;
using test::Stream;

void check_all_ways(const Stream& stream, std::size_t begin, std::size_t end, const NgramKeys& keys) {
  const test::Counts expected = test::plain_counts(stream, begin, end, keys);
  const Documents documents = stream.documents();
  const Block block{documents, begin, end};
  for (const unsigned threads : {1u, 3u}) {
    Work work(threads);
    AlignedArray<std::uint32_t> memory;
    const RunStorage storage = test::unlimited_storage();
    const BlockRoom room{storage, threads == 1 ? std::size_t{1} << 20 : 1271, memory};
    CHECK(test::counts_of(count_block(block, keys, room, work)) == expected);
    CHECK(test::counts_of(count_sorted(block, keys, room, work)) == expected);
    if (keys.key_bits <= max_dense_bits) CHECK(test::counts_of(count_dense(block, keys, room, work)) == expected);
    if (keys.order > 1 && keys.token_bits <= max_partitioned_bits) {
      CHECK(test::counts_of(count_partitioned(block, keys, room, work)) == expected);
    }
  }
}

void test_all_ways_agree_with_plain_counting() {
  for (const std::uint64_t vocab_size : {1u, 2u, 63u, 255u, 1271u, 65536u, 65537u, 262144u, 262145u, 2147483648u}) {
    for (const std::size_t size : {0u, 1u, 2u, 1271u, 40000u}) {
      const Stream stream = test::skewed_stream(size, vocab_size, 50, static_cast<unsigned>(size));
      for (unsigned order = 1; order <= max_order; ++order) {
        if (order * token_bits_for(vocab_size) <= max_key_bits) check_all_ways(stream, 0, size, {order, vocab_size});
      }
    }
  }
}

void test_blocks_of_a_stream_add_up() {
  const Stream stream = test::skewed_stream(30000, 5000, 2000, 5);
  const NgramKeys keys(2, 5000);
  test::Counts sum;
  const std::vector<std::size_t> borders{0, 1, 63, 9999, 30000};
  for (std::size_t i = 0; i + 1 < borders.size(); ++i) {
    check_all_ways(stream, borders[i], borders[i + 1], keys);
    for (const auto& [key, count] : test::plain_counts(stream, borders[i], borders[i + 1], keys)) sum[key] += count;
  }
  CHECK(sum == test::plain_counts(stream, 0, 30000, keys));
}

void test_tails_are_the_ends_of_documents() {
  const Stream stream = test::skewed_stream(30000, 40, 3, 7);
  const RunStorage storage = test::unlimited_storage();
  const Documents documents = stream.documents();
  AlignedArray<std::uint32_t> memory;
  const BlockRoom room{storage, 1271, memory};
  for (const unsigned order : {1u, 2u, 4u}) {
    const NgramKeys keys(order, 40);
    test::Counts expected;
    test::Counts found;
    for (std::size_t d = 0; d < documents.count; ++d) {
      const std::int64_t end = stream.offsets[d + 1];
      if (end - stream.offsets[d] < static_cast<std::int64_t>(order)) continue;
      WideKey key = 0;
      for (std::int64_t i = end - order; i < end; ++i) {
        key = key << keys.token_bits | stream.tokens[static_cast<std::size_t>(i)];
      }
      ++expected[key];
    }
    Work work(1);
    for (const auto& [begin, end] : {std::pair{0u, 1u}, {1u, 63u}, {63u, 29999u}, {29999u, 30000u}}) {
      for (const auto& [key, count] : test::counts_of(count_tails({documents, begin, end}, keys, room, work))) {
        found[key] += count;
      }
    }
    CHECK(found == expected);
  }
}

void test_many_tasks_and_chunks_of_one_group() {
  // More tokens than one task takes, on several threads; with equal tokens all in one group and one row.
  check_all_ways(test::skewed_stream(700000, 3000, 1000, 9), 0, 700000, {2, 3000});
  Stream equal;
  equal.tokens.assign(600001, 2999);
  equal.offsets = {0, 600001};
  check_all_ways(equal, 0, 600001, {2, 3000});
}

void test_groups_whose_first_tokens_share_their_low_bits() {
  // With 18 bits a token, a packed pair keeps 14 bits of its first token.
  Stream stream;
  for (std::uint32_t i = 0; i < 100000; ++i) stream.tokens.push_back(i % 16 * 16384 + i % 7);
  stream.offsets = {0, 100000};
  check_all_ways(stream, 0, 100000, {2, 262144});
}

void test_a_token_outside_the_vocabulary_is_found_wherever_it_is() {
  for (const std::uint64_t vocab_size : {1000u, 60000u, 1000000u}) {
    for (const std::size_t bad : {0u, 20000u, 39999u}) {
      Stream stream = test::skewed_stream(40000, vocab_size, 10, 2);
      stream.tokens[bad] = static_cast<std::uint32_t>(vocab_size);
      const Documents documents = stream.documents();
      Work work(2);
      AlignedArray<std::uint32_t> memory;
      const RunStorage storage = test::unlimited_storage();
      const BlockRoom room{storage, std::size_t{1} << 20, memory};
      for (const unsigned order : {1u, 2u, 3u, 5u}) {
        CHECK_THROWS(TokenError, "position " + std::to_string(bad) + " ",
                     count_block({documents, 0, 40000}, {order, vocab_size}, room, work));
      }
    }
  }
}

}  // namespace

int main() {
  if (!mixlaw::test::threads_alone) test_all_ways_agree_with_plain_counting();
  if (!mixlaw::test::threads_alone) test_blocks_of_a_stream_add_up();
  if (!mixlaw::test::threads_alone) test_tails_are_the_ends_of_documents();
  test_many_tasks_and_chunks_of_one_group();
  if (!mixlaw::test::threads_alone) test_groups_whose_first_tokens_share_their_low_bits();
  test_a_token_outside_the_vocabulary_is_found_wherever_it_is();
  return mixlaw::test::finish();
}
