#include <cstdint>
#include <limits>
#include <stdexcept>

#include "check.hpp"
#include "mixlaw/block.hpp"
#include "mixlaw/count_plan.hpp"
#include "streams.hpp"

namespace {

using namespace mixlaw;

void check_all(void (*check)(unsigned threads, const NgramKeys& keys)) {
  for (const std::uint64_t vocab_size : {1u, 256u, 1025u, 50257u, 262144u, 262145u, 1048576u, 2147483648u}) {
    for (unsigned order = 1; order <= max_order; ++order) {
      if (order * token_bits_for(vocab_size) > max_key_bits) continue;
      for (const unsigned threads : {1u, 2u, 8u, 4096u}) check(threads, {order, vocab_size});
    }
  }
}

void test_without_a_limit_nothing_is_bounded() {
  check_all([](unsigned threads, const NgramKeys& keys) {
    const CountPlan plan = make_plan({}, threads, keys);
    CHECK(plan.run_bytes == std::numeric_limits<std::size_t>::max());
    CHECK(plan.block_tokens <= max_block && plan.task_tokens <= plan.block_tokens);
  });
}

void test_the_least_limit_that_is_named_will_do() {
  check_all([](unsigned threads, const NgramKeys& keys) {
    const std::uint64_t least = test::least_limit(threads, keys);
    make_plan(least, threads, keys);
    CHECK_THROWS(std::invalid_argument,
                 "memory_limit is " + std::to_string(least - 1) + " bytes, but order " + std::to_string(keys.order) +
                     ", vocab_size " + std::to_string(keys.vocab_size) + " and " + std::to_string(threads) +
                     " threads need at least " + std::to_string(least),
                 make_plan(least - 1, threads, keys));
  });
}

void test_a_plan_keeps_to_its_limit_and_uses_it() {
  check_all([](unsigned threads, const NgramKeys& keys) {
    const std::uint64_t least = test::least_limit(threads, keys);
    CountPlan last{};
    for (const std::uint64_t limit : {least, least + 1, 2 * least, 16 * least, 4096 * least, ~std::uint64_t{0}}) {
      const CountPlan plan = make_plan(limit, threads, keys);
      CHECK(plan.block_tokens >= std::size_t{1} << 16 && plan.block_tokens <= max_block);
      CHECK(plan.task_tokens >= std::size_t{1} << 15 && plan.task_tokens <= std::size_t{1} << 20);
      CHECK(plan.pending_bytes > 0 && plan.pending_bytes + plan.run_bytes <= limit / 2);
      CHECK(plan.block_tokens >= last.block_tokens && plan.task_tokens >= last.task_tokens);
      CHECK(plan.run_bytes >= last.run_bytes && plan.pending_bytes >= last.pending_bytes);
      last = plan;
    }
    CHECK(last.block_tokens == make_plan({}, threads, keys).block_tokens);
  });
}

void test_least_limits_are_modest() {
  CHECK(test::least_limit(1, {2, 50257}) < std::size_t{32} << 20);
  CHECK(test::least_limit(8, {2, 50257}) < std::size_t{128} << 20);
  CHECK(test::least_limit(2, {5, 33554432}) < std::size_t{64} << 20);
}

}  // namespace

int main() {
  test_without_a_limit_nothing_is_bounded();
  test_the_least_limit_that_is_named_will_do();
  test_a_plan_keeps_to_its_limit_and_uses_it();
  test_least_limits_are_modest();
  return mixlaw::test::finish();
}
