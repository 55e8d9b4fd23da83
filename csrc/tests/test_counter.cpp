#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <thread>
#include <vector>

#include "check.hpp"
#include "mixlaw/ngram_counter.hpp"
#include "streams.hpp"

namespace {

using namespace mixlaw;
using test::Stream;

const StopCheck never;

CounterSettings settings(std::int64_t vocab_size, std::int64_t order, unsigned threads) {
  CounterSettings made;
  made.vocab_size = vocab_size;
  made.order = order;
  made.threads = threads;
  return made;
}

// Takes longer than the 50 ms from which on a StopCheck is asked.
constexpr std::size_t long_update = test::threads_alone ? 1000000 : 5000000;

// Inputs of so many tokens are counted where they lie.
constexpr std::size_t most_pending = std::size_t{1} << 23;

void check_equal(NgramCounter& a, NgramCounter& b) {
  for (std::int64_t n = 1; n <= a.order(); ++n) {
    CHECK(a.total(n, never) == b.total(n, never));
    CHECK(test::counts_of(*a.counts(n, never)) == test::counts_of(*b.counts(n, never)));
  }
}

void test_one_long_input_equals_many_short_ones() {
  // Long enough to be counted where it lies, in contrast to its parts.
  const Stream stream = test::skewed_stream(most_pending + 1271, 3000, 700, 4);
  NgramCounter whole(settings(3000, 2, 2));
  whole.update(stream.documents(), 0, never);
  NgramCounter parts(settings(3000, 2, 1));
  NgramCounter half(settings(3000, 2, 1));
  const std::size_t documents = stream.offsets.size() - 1;
  for (std::size_t d = 0; d < documents;) {
    const std::size_t end = std::min(documents, d + 1 + d % 997);
    const std::int64_t begin = stream.offsets[d];
    std::vector<std::int64_t> offsets;
    for (std::size_t i = d; i <= end; ++i) offsets.push_back(stream.offsets[i] - begin);
    const Documents part{{stream.tokens.data() + begin, static_cast<std::size_t>(offsets.back()), TokenType::u32},
                         offsets.data(),
                         offsets.size() - 1};
    (d % 2 == 0 ? parts : half).update(part, 0, never);
    d = end;
  }
  parts.merge(half, never);
  check_equal(whole, parts);
  const Entropies a = whole.entropies(never);
  const Entropies b = parts.entropies(never);
  CHECK(a.shannon == b.shannon && a.joint == b.joint && a.conditional == b.conditional);
}

void test_context_joins_the_parts_of_a_document() {
  Stream stream = test::skewed_stream(1271, 63, 1, 8);
  stream.offsets = {0, 1271};
  NgramCounter whole(settings(63, 2, 1));
  whole.update(stream.documents(), 0, never);
  NgramCounter parts(settings(63, 2, 1));
  NgramCounter others(settings(63, 2, 1));
  std::size_t begin = 0;
  while (begin < stream.tokens.size()) {
    const std::size_t end = std::min(begin + 1 + begin % 7, stream.tokens.size());
    const std::size_t context = begin == 0 ? 0 : 1;
    const std::int64_t offsets[] = {0, static_cast<std::int64_t>(end - begin + context)};
    const TokenArray tokens{stream.tokens.data() + begin - context, end - begin + context, TokenType::u32};
    (begin % 2 == 0 ? parts : others).update({tokens, offsets, 1}, static_cast<std::int64_t>(context), never);
    begin = end;
  }
  parts.merge(others, never);
  check_equal(whole, parts);
}

void test_a_document_that_is_all_context_adds_nothing() {
  const Stream stream{{7, 1}, {0, 0, 1, 2}};
  NgramCounter counter(settings(10, 2, 1));
  counter.update(stream.documents(), 1, never);
  CHECK(counter.total(1, never) == 1 && counter.total(2, never) == 0);
  CHECK((test::counts_of(*counter.counts(1, never)) == test::Counts{{1, 1}}));
}

void test_an_interrupted_update_changes_nothing() {
  const Stream stream = test::skewed_stream(long_update, 60000, 700, 4);
  NgramCounter counter(settings(60000, 2, 2));
  const Stream before = test::skewed_stream(1000, 60000, 700, 5);
  counter.update(before.documents(), 0, never);
  int asked = 0;
  CHECK_THROWS(Interrupted, "", for (;;) counter.update(stream.documents(), 0, [&] { return ++asked > 1; }));
  NgramCounter expected(settings(60000, 2, 1));
  expected.update(before.documents(), 0, never);
  // What went in before the interruption went in whole.
  while (expected.total(1, never) < counter.total(1, never)) expected.update(stream.documents(), 0, never);
  check_equal(counter, expected);
}

void test_a_bad_token_at_the_end_changes_nothing_and_the_first_is_named() {
  for (const std::size_t size : {std::size_t{2255}, most_pending}) {
    Stream stream = test::skewed_stream(size, 3000, 700, 4);
    // A sample is looked at before the rest, and has the middle of the long stream in it, but not position 1000.
    stream.tokens[size - 1] = 3000;
    stream.tokens[size / 2 + 1000] = 3000;
    stream.tokens[size / 2] = 3000;
    stream.tokens[1000] = 4000;
    for (const std::int64_t groups : {1, 7}) {
      CounterSettings how = settings(3000, 2, 2);
      how.groups = groups;
      NgramCounter counter(how);
      CHECK_THROWS(TokenError, "token 4000 at position 1000 is not below vocab_size 3000",
                   counter.update(stream.documents(), 0, never));
      CHECK(counter.total(1, never) == 0);
      CHECK(counter.counts(1, never)->entries == 0);
      CHECK(counter.counts(2, never)->entries == 0);
    }
  }
}

void test_counters_merge_each_other_and_themselves_without_waiting_forever() {
  const Stream stream = test::skewed_stream(3000, 100, 30, 1);
  NgramCounter a(settings(100, 2, 1));
  NgramCounter b(settings(100, 2, 1));
  a.update(stream.documents(), 0, never);
  b.update(stream.documents(), 0, never);
  std::thread other([&] {
    for (int i = 0; i < 10; ++i) a.merge(b, never);
  });
  for (int i = 0; i < 10; ++i) b.merge(a, never);
  other.join();
  CHECK(a.total(1, never) >= 6000);
  NgramCounter c(settings(100, 2, 1));
  c.update(stream.documents(), 0, never);
  c.merge(c, never);
  CHECK(c.total(1, never) == 6000);
  NgramCounter twice(settings(100, 2, 1));
  twice.update(stream.documents(), 0, never);
  twice.update(stream.documents(), 0, never);
  check_equal(c, twice);
}

void test_totals_that_overflow_are_refused() {
  const Stream stream{{0, 0}, {0, 2}};
  NgramCounter counter(settings(1, 2, 1));
  counter.update(stream.documents(), 0, never);
  for (int doubled = 1; doubled < 63; ++doubled) counter.merge(counter, never);
  CHECK(counter.total(1, never) == std::uint64_t{1} << 63);
  CHECK_THROWS(std::overflow_error, "9223372036854775808 + 9223372036854775808", counter.merge(counter, never));
  CHECK(counter.total(1, never) == std::uint64_t{1} << 63);
  CHECK((test::counts_of(*counter.counts(1, never)) == test::Counts{{0, std::uint64_t{1} << 63}}));
}

void test_several_threads_may_count_at_once() {
  const Stream stream = test::skewed_stream(200000, 5000, 100, 1);
  NgramCounter shared(settings(5000, 2, 2));
  std::vector<std::thread> producers;
  for (int i = 0; i < 4; ++i) producers.emplace_back([&] { shared.update(stream.documents(), 0, never); });
  for (std::thread& producer : producers) producer.join();
  NgramCounter expected(settings(5000, 2, 1));
  for (int i = 0; i < 4; ++i) expected.update(stream.documents(), 0, never);
  check_equal(shared, expected);
}

void test_waiting_for_a_turn_can_be_interrupted() {
  const Stream stream = test::skewed_stream(long_update, 60000, 700, 4);
  NgramCounter counter(settings(60000, 2, 1));
  std::atomic<bool> working{false};
  std::atomic<bool> done{false};
  std::thread worker([&] {
    const StopCheck until_done = [&] {
      working = true;
      return done.load();
    };
    try {
      for (;;) counter.update(stream.documents(), 0, until_done);
    } catch (const Interrupted&) {
    }
  });
  while (!working) std::this_thread::yield();
  // Between two updates of the worker it may get its turn.
  bool interrupted = false;
  while (!interrupted) {
    try {
      counter.total(1, [] { return true; });
    } catch (const Interrupted&) {
      interrupted = true;
    }
  }
  CHECK(interrupted);
  done = true;
  worker.join();
}

void test_a_stop_check_may_not_use_its_counter() {
  const Stream stream = test::skewed_stream(long_update, 60000, 700, 4);
  NgramCounter counter(settings(60000, 2, 1));
  CHECK_THROWS(
      std::runtime_error, "at work on another call of this thread",
      for (;;) { counter.update(stream.documents(), 0, [&] { return counter.total(1, never) > 0; }); });
}

void test_arguments_out_of_range_are_refused() {
  CHECK_THROWS(std::invalid_argument, "order must be from 1 to 5, not 6", NgramCounter(settings(10, 6, 1)));
  CHECK_THROWS(std::invalid_argument, "not 0", NgramCounter(settings(0, 2, 1)));
  CHECK_THROWS(std::invalid_argument, "not 2147483649", NgramCounter(settings((std::int64_t{1} << 31) + 1, 2, 1)));
  NgramCounter counter(settings(10, 1, 1));
  CHECK_THROWS(std::invalid_argument, "n must be from 1 to the counter's order 1, not 2", counter.counts(2, never));
  const Stream stream{{1, 2}, {0, 2}};
  CHECK_THROWS(std::invalid_argument, "context must be from 0 to 0", counter.update(stream.documents(), 1, never));
  CHECK_THROWS(std::invalid_argument, "no tokens were counted", counter.entropies(never));
  counter.update(stream.documents(), 0, never);
  const Entropies entropies = counter.entropies(never);
  CHECK(entropies.shannon == std::log(2.0) && std::isnan(entropies.joint) && std::isnan(entropies.conditional));
  NgramCounter pairs(settings(10, 2, 1));
  CHECK_THROWS(std::invalid_argument,
               "counts of order 2, vocab_size 10 and 1 group into counts of order 1, vocab_size 10 and 1 group",
               counter.merge(pairs, never));
  const Stream single{{5}, {0, 1}};
  pairs.update(single.documents(), 0, never);
  CHECK_THROWS(std::invalid_argument, "no pairs were counted", pairs.entropies(never));
}

}  // namespace

int main() {
  if (!mixlaw::test::threads_alone) test_one_long_input_equals_many_short_ones();
  if (!mixlaw::test::threads_alone) test_context_joins_the_parts_of_a_document();
  test_a_document_that_is_all_context_adds_nothing();
  test_an_interrupted_update_changes_nothing();
  if (!mixlaw::test::threads_alone) test_a_bad_token_at_the_end_changes_nothing_and_the_first_is_named();
  test_counters_merge_each_other_and_themselves_without_waiting_forever();
  test_totals_that_overflow_are_refused();
  test_several_threads_may_count_at_once();
  test_waiting_for_a_turn_can_be_interrupted();
  test_a_stop_check_may_not_use_its_counter();
  test_arguments_out_of_range_are_refused();
  return mixlaw::test::finish();
}
