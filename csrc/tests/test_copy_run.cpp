#include <chrono>
#include <cstdint>
#include <memory>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "check.hpp"
#include "mixlaw/copy_run.hpp"
#include "mixlaw/run_memory.hpp"
#include "streams.hpp"

namespace {

using namespace mixlaw;

// Notes what it is given.
class NotingSink : public RunSink {
 public:
  Segment keep(WideKey first_key, std::uint64_t entries, const std::uint8_t* bytes, std::size_t size) override {
    noted.push_back({first_key, entries, {bytes, bytes + size}});
    return memory_.keep(first_key, entries, bytes, size);
  }
  Run finish(std::vector<Segment> segments) override { return memory_.finish(std::move(segments)); }

  struct Noted {
    WideKey first_key;
    std::uint64_t entries;
    std::vector<std::uint8_t> bytes;
    bool operator==(const Noted& other) const {
      return first_key == other.first_key && entries == other.entries && bytes == other.bytes;
    }
  };
  std::vector<Noted> noted;

 private:
  MemorySink memory_{make_gauge()};
};

std::vector<NotingSink::Noted> copied(const Run& run, const NgramKeys& keys, unsigned threads) {
  NotingSink sink;
  Work work(threads);
  const Run copy = copy_run(std::make_shared<const Run>(run), keys, sink, work);
  CHECK(test::counts_of(copy) == test::counts_of(run));
  return std::move(sink.noted);
}

test::Counts random_counts(std::size_t entries, const NgramKeys& keys, std::mt19937_64& random) {
  test::Counts counts;
  const WideKey step = (WideKey{1} << keys.key_bits) / entries;
  for (WideKey key = 0; counts.size() < entries; key += step) {
    const WideKey wide = WideKey{random()} << 64 | random();
    counts.emplace_hint(counts.end(), key + wide % step, random() % 8 == 0 ? 1 + random() % 5000 : 1);
  }
  return counts;
}

// In segments of so many entries, or of one group.
Run cut_run(const test::Counts& counts, const NgramKeys& keys, std::size_t entries_a_segment) {
  MemorySink sink(make_gauge());
  RunWriter<WideKey> writer(sink);
  std::vector<std::vector<Segment>> segments;
  std::size_t entries = 0;
  WideKey group = 0;
  for (const auto& [key, count] : counts) {
    if (entries++ % entries_a_segment == 0 || key >> keys.ngram_bits != group) segments.push_back(writer.finish());
    group = key >> keys.ngram_bits;
    writer.write(key, count);
  }
  segments.push_back(writer.finish());
  return sink.finish(joined(std::move(segments)));
}

void test_a_copy_depends_on_the_counts_alone() {
  std::mt19937_64 random(1);
  for (const NgramKeys& keys : {NgramKeys(2, 50257), NgramKeys(2, 4096, 3), NgramKeys(5, 33554432)}) {
    const std::size_t entries = test::threads_alone ? 150000 : 300001;
    const test::Counts counts = random_counts(entries, keys, random);
    const std::vector<NotingSink::Noted> expected = copied(cut_run(counts, keys, entries), keys, 1);
    for (const std::size_t entries_a_segment : {1000u, 4096u, 131072u}) {
      CHECK(copied(cut_run(counts, keys, entries_a_segment), keys, 3) == expected);
    }
    CHECK(copied(cut_run(counts, keys, 777), keys, 1) == expected);
    std::size_t small = 0;
    for (const NotingSink::Noted& segment : expected) {
      const bool first = &segment == &expected.front();
      CHECK(first || segment.first_key > (&segment - 1)->first_key);
      CHECK(segment.bytes.size() < std::size_t{1} << 17);
      small += static_cast<std::size_t>(segment.bytes.size() < std::size_t{1} << 16);
    }
    // One for every 2^17 entries, and for every group.
    CHECK(small <= entries / 131072 + keys.groups);
  }
}

void test_every_group_begins_anew() {
  // What stands in another group does not move the cut of this one.
  const NgramKeys keys(1, 1000000, 2);
  std::mt19937_64 random(2);
  const WideKey second = WideKey{1} << keys.ngram_bits;
  test::Counts counts;
  for (WideKey i = 0; i < 200000; ++i) counts[second + i * 5 + random() % 5] = 1 + random() % 100;
  const auto alone = copied(cut_run(counts, keys, 5000), keys, 2);
  counts[3] = 1;
  const auto both = copied(cut_run(counts, keys, 5000), keys, 2);
  CHECK(both.size() == alone.size() + 1);
  CHECK(std::vector<NotingSink::Noted>(both.begin() + 1, both.end()) == alone);
}

void test_nothing_is_copied_as_nothing() { CHECK(copied({}, NgramKeys(2, 100), 2).empty()); }

void test_a_copy_can_be_interrupted() {
  std::mt19937_64 random(3);
  const NgramKeys keys(2, 50257);
  const auto run = std::make_shared<const Run>(cut_run(random_counts(200000, keys, random), keys, 5000));
  Work work(1, [] { return true; });
  std::this_thread::sleep_for(std::chrono::milliseconds(60));
  NotingSink sink;
  CHECK_THROWS(Interrupted, "", copy_run(run, keys, sink, work));
}

}  // namespace

int main() {
  test_a_copy_depends_on_the_counts_alone();
  test_every_group_begins_anew();
  test_nothing_is_copied_as_nothing();
  test_a_copy_can_be_interrupted();
  return mixlaw::test::finish();
}
