#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "check.hpp"
#include "mixlaw/counts_reader.hpp"
#include "mixlaw/run.hpp"
#include "streams.hpp"

namespace {

using namespace mixlaw;

RunPtr shared(Run run) { return std::make_shared<const Run>(std::move(run)); }

// Near and far keys, small and huge counts, and enough of them for several segments.
test::Counts varied_counts() {
  test::Counts counts;
  WideKey key = 0;
  for (std::uint64_t i = 0; i < 100000; ++i) {
    key += i % 1000 == 0 ? std::uint64_t{1} << 40 : 1 + i * i % 777;
    counts[key] = i % 500 == 0 ? ~std::uint64_t{0} - i : 1 + i % 200;
  }
  return counts;
}

void test_what_is_written_is_read() {
  const test::Counts counts = varied_counts();
  const RunPtr run = shared(test::run_of(counts));
  CHECK(run->segments.size() > 2);
  CHECK(test::counts_of(*run) == counts);
  RunCursor<std::uint64_t> cursor(whole(run), 0);
  for (const auto& [key, count] : counts) {
    CHECK(cursor.key() == key && cursor.count() == count);
    cursor.next();
  }
  CHECK(cursor.key() == RunCursor<std::uint64_t>::end_key);
}

void test_an_empty_run_is_at_its_end() {
  const RunPtr run = shared({});
  CHECK(RunCursor<std::uint64_t>(whole(run), 0).key() == RunCursor<std::uint64_t>::end_key);
  MemorySink sink(make_gauge());
  CHECK(RunWriter<std::uint64_t>(sink).finish().empty());
  CHECK(sink.finish({}).entries == 0);
}

void test_a_cursor_begins_anywhere() {
  const test::Counts counts = varied_counts();
  const RunPtr run = shared(test::run_of(counts));
  std::vector<WideKey> starts{0, 1, counts.rbegin()->first, counts.rbegin()->first + 1};
  for (const Segment& segment : run->segments) {
    for (const WideKey near : {segment.first_key - 1, segment.first_key, segment.first_key + 1}) {
      starts.push_back(near);
    }
  }
  for (const WideKey start : starts) {
    const auto expected = counts.lower_bound(start);
    const WideKey found = RunCursor<WideKey>(whole(run), start).key();
    CHECK(found == (expected == counts.end() ? RunCursor<WideKey>::end_key : expected->first));
  }
  // Shifted keys repeat, across the borders of segments too.
  for (const WideKey start : starts) {
    std::uint64_t expected = 0;
    for (auto at = counts.lower_bound(start >> 6 << 6); at != counts.end() && at->first >> 6 == start >> 6; ++at)
      ++expected;
    std::uint64_t found = 0;
    RunCursor<WideKey> cursor({run, 0, run->segments.size(), 0, 6, 0}, start >> 6);
    for (; cursor.key() == start >> 6; cursor.next()) ++found;
    CHECK(found == expected);
  }
}

void test_a_writer_leaves_out_zeros_and_begins_anew() {
  MemorySink sink(make_gauge());
  RunWriter<std::uint64_t> writer(sink);
  writer.write_each(4, [](std::size_t i) { return Entry<std::uint64_t>{10 + i, i % 2}; });
  Run run;
  run.append(writer.finish());
  CHECK((test::counts_of(run) == test::Counts{{11, 1}, {13, 1}}));
  writer.write(5, 6);
  Run second;
  second.append(writer.finish());
  CHECK((test::counts_of(second) == test::Counts{{5, 6}}));
  writer.write_each(3, [](std::size_t i) { return Entry<std::uint64_t>{i, 0}; });
  CHECK(writer.finish().empty());
}

void test_runs_take_memory_as_long_as_they_live() {
  const MemoryGauge gauge = make_gauge();
  {
    MemorySink sink(gauge);
    RunWriter<std::uint64_t> writer(sink);
    writer.write_each(1000000, [](std::size_t i) { return Entry<std::uint64_t>{i * 3, 1 + i % 3}; });
    const Run run = sink.finish(writer.finish());
    CHECK(run.bytes >= 2000000 && run.bytes < 2000000 + 8 * run.segments.size());
    CHECK(*gauge >= run.bytes && *gauge < run.bytes + (std::size_t{1} << 20));
    const Run part = [&] {
      Run first;
      first.append({run.segments[0]});
      return first;
    }();
    CHECK(part.entries > 0);
  }
  CHECK(*gauge == 0);
}

void test_a_reader_gives_rows_in_any_pieces() {
  test::Counts counts;
  for (std::uint64_t first = 0; first < 50; ++first) counts[first << 4 | first * 7 % 13] = first + 1;
  const NgramKeys keys(2, 13);
  for (const std::size_t rows : {1u, 7u, 50u}) {
    CountsReader reader(std::make_shared<const Run>(test::run_of(counts)), keys);
    Work work(1);
    auto expected = counts.begin();
    while (reader.left() > 0) {
      const std::size_t now = std::min<std::uint64_t>(rows, reader.left());
      std::vector<std::uint32_t> ngrams(2 * now);
      std::vector<std::uint64_t> how_often(now);
      reader.read(now, ngrams.data(), how_often.data(), work);
      for (std::size_t i = 0; i < now; ++i, ++expected) {
        CHECK(ngrams[2 * i] == (expected->first >> 4 & 15) && ngrams[2 * i + 1] == (expected->first & 15));
        CHECK(how_often[i] == expected->second);
      }
    }
    CHECK(expected == counts.end());
  }
}

}  // namespace

int main() {
  test_what_is_written_is_read();
  test_an_empty_run_is_at_its_end();
  test_a_cursor_begins_anywhere();
  test_a_writer_leaves_out_zeros_and_begins_anew();
  test_runs_take_memory_as_long_as_they_live();
  test_a_reader_gives_rows_in_any_pieces();
  return mixlaw::test::finish();
}
