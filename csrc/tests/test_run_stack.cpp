#include <chrono>
#include <cstdint>
#include <thread>

#include "check.hpp"
#include "mixlaw/run_stack.hpp"
#include "streams.hpp"

namespace {

using namespace mixlaw;

test::Counts sum_of(const RunStack& stack) {
  test::Counts sum;
  for (const RunPtr& run : stack.runs()) {
    for (const auto& [key, count] : test::counts_of(*run)) sum[key] += count;
  }
  return sum;
}

void test_many_runs_become_few_and_count_the_same() {
  const NgramKeys keys(1, 100000);
  RunStorage storage = test::unlimited_storage();
  RunStack stack(keys, storage);
  test::Counts expected;
  Work work(1);
  for (std::uint64_t i = 0; i < 500; ++i) {
    test::Counts counts;
    for (std::uint64_t j = 0; j < 1 + i % 40; ++j) counts[(i * 37 + j * 101) % 100000] = 1 + j;
    for (const auto& [key, count] : counts) expected[key] += count;
    stack.push(test::run_of(counts));
    stack.compact(work);
    // Some thousand entries fall in five classes.
    CHECK(stack.runs().size() <= 5 * (RunStack::fan_in - 1));
  }
  CHECK(sum_of(stack) == expected);
  CHECK(test::counts_of(*stack.merge(work)) == expected);
  CHECK(stack.runs().size() == 1);
}

void test_equal_runs_stay_few() {
  RunStorage storage = test::unlimited_storage();
  RunStack stack(NgramKeys(1, 10), storage);
  Work work(1);
  for (int i = 0; i < 100; ++i) {
    stack.push(test::run_of({{7, 3}}));
    stack.compact(work);
  }
  CHECK(stack.runs().size() < RunStack::fan_in);
  CHECK((test::counts_of(*stack.merge(work)) == test::Counts{{7, 300}}));
}

void test_empty_runs_vanish() {
  RunStorage storage = test::unlimited_storage();
  RunStack stack(NgramKeys(1, 10), storage);
  Work work(1);
  stack.push(Run());
  CHECK(stack.runs().empty());
  CHECK(stack.merge(work)->entries == 0);
}

void test_an_interrupted_merge_changes_nothing() {
  RunStorage storage = test::unlimited_storage();
  RunStack stack(NgramKeys(1, 10), storage);
  for (std::uint64_t i = 0; i < RunStack::fan_in; ++i) stack.push(test::run_of({{i, i + 1}}));
  const test::Counts before = sum_of(stack);
  Work work(1, [] { return true; });
  // Work asks from 50 ms on.
  std::this_thread::sleep_for(std::chrono::milliseconds(60));
  CHECK_THROWS(Interrupted, "", stack.compact(work));
  CHECK(sum_of(stack) == before);
}

}  // namespace

int main() {
  test_many_runs_become_few_and_count_the_same();
  test_equal_runs_stay_few();
  test_empty_runs_vanish();
  test_an_interrupted_merge_changes_nothing();
  return mixlaw::test::finish();
}
