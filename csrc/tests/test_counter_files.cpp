// NgramCounter with files: under a limit of memory, written, read, saved and restored.
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "check.hpp"
#include "count_file_bytes.hpp"
#include "folder.hpp"
#include "mixlaw/ngram_counter.hpp"
#include "streams.hpp"

namespace {

using namespace mixlaw;
using test::Bytes;
using test::Folder;
using test::Stream;

const StopCheck never;

struct Kind {
  std::uint64_t vocab_size;
  unsigned order;
};

CounterSettings settings(const Kind& kind, unsigned threads) {
  CounterSettings made;
  made.vocab_size = static_cast<std::int64_t>(kind.vocab_size);
  made.order = kind.order;
  made.threads = threads;
  return made;
}

// With as little memory as there can be.
CounterSettings limited(const Kind& kind, unsigned threads, const Folder& folder) {
  CounterSettings made = settings(kind, threads);
  made.memory_limit = test::least_limit(threads, {kind.order, kind.vocab_size});
  made.folder = folder.path();
  return made;
}

CounterSettings lasting(CounterSettings made, const Folder& folder) {
  made.folder = folder.path();
  made.file_life = FileLife::lasting;
  return made;
}

// Nothing repeats: as many different n-grams as can be.
Stream uniform_stream(std::size_t size, std::uint64_t vocab_size, std::size_t document, unsigned seed) {
  std::mt19937_64 random(seed);
  Stream stream;
  for (std::size_t i = 0; i < size; ++i) stream.tokens.push_back(static_cast<std::uint32_t>(random() % vocab_size));
  for (std::size_t i = 0; i < size; i += document) stream.offsets.push_back(static_cast<std::int64_t>(i));
  stream.offsets.push_back(static_cast<std::int64_t>(size));
  return stream;
}

// In calls of so many documents.
void update_in_parts(NgramCounter& counter, const Stream& stream, std::size_t documents_a_call) {
  const std::size_t documents = stream.offsets.size() - 1;
  for (std::size_t d = 0; d < documents; d += documents_a_call) {
    const std::size_t end = std::min(documents, d + documents_a_call);
    std::vector<std::int64_t> offsets;
    for (std::size_t i = d; i <= end; ++i) offsets.push_back(stream.offsets[i] - stream.offsets[d]);
    const TokenArray tokens{stream.tokens.data() + stream.offsets[d], static_cast<std::size_t>(offsets.back()),
                            TokenType::u32};
    counter.update({tokens, offsets.data(), offsets.size() - 1}, 0, never);
  }
}

Bytes written(NgramCounter& counter) {
  const Folder folder;
  counter.write(folder.path("a.mlc"), "{}", never);
  CHECK(folder.files() == 1);
  return test::read_bytes(folder.path("a.mlc"));
}

void check_equal(NgramCounter& a, NgramCounter& b) {
  for (std::int64_t n = 1; n <= a.order(); ++n) {
    CHECK(a.total(n, never) == b.total(n, never));
    CHECK(a.distinct(n, never) == b.distinct(n, never));
    CHECK(a.entropy_of(n, never) == b.entropy_of(n, never));
    CHECK(a.conditional_entropy_of(n, never) == b.conditional_entropy_of(n, never));
  }
  CHECK(written(a) == written(b));
}

// Pairs in groups, sorted pairs, and sorted keys of 64 and of 128 bits; each with more different n-grams than the least
// limit lets in memory.
struct Large {
  Kind kind;
  std::size_t tokens;
};
const Large large[] = {{{65537, 2}, 3500000}, {{2147483648, 2}, 2000000}, {{256, 4}, 1700000}, {{33554432, 5}, 900000}};
const Large& sorted_pairs = large[1];

void test_a_limit_of_memory_changes_no_bit() {
  for (const auto& [kind, tokens] : large) {
    if (test::threads_alone && kind.vocab_size != sorted_pairs.kind.vocab_size) continue;
    const Stream stream = uniform_stream(tokens, kind.vocab_size, 1271, 3);
    NgramCounter free(settings(kind, 2));
    free.update(stream.documents(), 0, never);
    CHECK(free.disk_use().written == 0);
    const Folder folder;
    NgramCounter tight(limited(kind, test::threads_alone ? 2 : 1, folder));
    tight.update(stream.documents(), 0, never);
    check_equal(free, tight);
    if (test::threads_alone) continue;
    NgramCounter parts(limited(kind, 1, folder));
    update_in_parts(parts, stream, 3);
    check_equal(free, parts);
    for (const NgramCounter* counter : {&tight, &parts}) {
      const DiskUse use = counter->disk_use();
      CHECK(use.written >= use.peak && use.peak >= use.now && use.now > 0);
    }
    CHECK(folder.files() == 0);
  }
}

void test_written_bytes_depend_on_the_counts_alone() {
  for (const Kind& kind : {Kind{1271, 1}, Kind{50257, 2}, Kind{300, 3}, Kind{5000, 5}}) {
    const Folder folder;
    const Stream stream = test::skewed_stream(200000, kind.vocab_size, 9, 5);
    NgramCounter whole(settings(kind, 1));
    whole.update(stream.documents(), 0, never);
    const Bytes expected = written(whole);
    for (const unsigned threads : {1u, 2u, 3u}) {
      for (const std::size_t documents : {std::size_t{997}, std::size_t{20000}}) {
        NgramCounter parts(threads == 2 ? limited(kind, threads, folder) : settings(kind, threads));
        update_in_parts(parts, stream, documents);
        CHECK(written(parts) == expected);
      }
    }
    // Shards, merged in several orders, by counters and by files.
    std::vector<std::unique_ptr<NgramCounter>> shards;
    for (unsigned s = 0; s < 5; ++s) shards.push_back(std::make_unique<NgramCounter>(settings(kind, 1)));
    for (std::size_t d = 0; d + 1 < stream.offsets.size(); ++d) {
      const auto size = static_cast<std::size_t>(stream.offsets[d + 1] - stream.offsets[d]);
      const std::int64_t offsets[] = {0, static_cast<std::int64_t>(size)};
      shards[d % 5]->update({{stream.tokens.data() + stream.offsets[d], size, TokenType::u32}, offsets, 1}, 0, never);
    }
    for (std::size_t s = 0; s < 5; ++s) shards[s]->write(folder.path(std::to_string(s) + ".mlc"), "", never);
    for (const std::vector<std::size_t>& order : {std::vector<std::size_t>{0, 1, 2, 3, 4}, {4, 2, 0, 3, 1}}) {
      NgramCounter merged(settings(kind, 2));
      NgramCounter from_files(limited(kind, 2, folder));
      for (const std::size_t s : order) {
        merged.merge(*shards[s], never);
        from_files.add_file(open_count_file(folder.path(std::to_string(s) + ".mlc")), never);
      }
      CHECK(written(merged) == expected && written(from_files) == expected);
    }
  }
}

void test_history_that_is_not_counted_yet_can_be_written() {
  // A shard that begins within a document holds more history than tails.
  const Kind kind{10, 3};
  const Stream first{{1, 2, 3, 4}, {0, 4}};
  const Stream second{{3, 4, 5}, {0, 3}};
  const Stream both{{1, 2, 3, 4, 5}, {0, 5}};
  const Folder folder;
  NgramCounter a(settings(kind, 1));
  a.update(first.documents(), 0, never);
  a.write(folder.path("a.mlc"), "", never);
  NgramCounter b(settings(kind, 1));
  b.update(second.documents(), 2, never);
  b.write(folder.path("b.mlc"), "", never);
  NgramCounter whole(settings(kind, 1));
  whole.update(both.documents(), 0, never);
  NgramCounter alone(settings(kind, 1));
  alone.add_file(open_count_file(folder.path("b.mlc")), never);
  check_equal(alone, b);
  for (const char* order : {"ab", "ba"}) {
    NgramCounter merged(settings(kind, 1));
    for (const char* name = order; *name != '\0'; ++name) {
      merged.add_file(open_count_file(folder.path(std::string(1, *name) + ".mlc")), never);
    }
    check_equal(merged, whole);
  }
}

void test_a_file_that_is_read_can_be_counted_on_with() {
  const Kind kind{1271, 3};
  const Folder folder;
  const Stream stream = test::skewed_stream(50000, 1271, 30, 6);
  NgramCounter counter(settings(kind, 1));
  counter.update(stream.documents(), 0, never);
  counter.write(folder.path("a.mlc"), "", never);
  NgramCounter read(settings(kind, 2));
  read.add_file(open_count_file(folder.path("a.mlc")), never);
  check_equal(read, counter);
  // The mapping outlives the name.
  std::filesystem::remove(folder.path("a.mlc"));
  counter.update(stream.documents(), 2, never);
  read.update(stream.documents(), 2, never);
  read.merge(read, never);
  counter.merge(counter, never);
  check_equal(read, counter);
}

void test_files_of_other_counts_are_refused() {
  const Folder folder;
  const Stream stream{{1, 2, 3}, {0, 3}};
  NgramCounter counter(settings({10, 2}, 1));
  counter.update(stream.documents(), 0, never);
  counter.write(folder.path("a.mlc"), "", never);
  for (const Kind& kind : {Kind{10, 3}, Kind{11, 2}}) {
    NgramCounter other(settings(kind, 1));
    CHECK_THROWS(std::invalid_argument,
                 "cannot merge counts of order 2, vocab_size 10 and 1 group into counts of order",
                 other.add_file(open_count_file(folder.path("a.mlc")), never));
    CHECK(other.total(1, never) == 0);
  }
  test::FileBytes full;
  full.vocab_size = 10;
  full.totals = {~std::uint64_t{0}, 0, 0, 0, 0};
  test::write_bytes(folder.path("b.mlc"), full.bytes());
  CHECK_THROWS(std::overflow_error, "3 + 18446744073709551615",
               counter.add_file(open_count_file(folder.path("b.mlc")), never));
  CHECK(counter.total(1, never) == 3 && counter.distinct(2, never) == 2);
}

void test_damage_is_an_error_and_never_a_count() {
  const Folder folder;
  const std::string path = folder.path("a.mlc");
  const Stream stream = test::skewed_stream(3000, 63, 9, 6);
  NgramCounter counter(settings({63, 3}, 1));
  counter.update(stream.documents(), 2, never);
  counter.write(path, "", never);
  const Bytes sound = test::read_bytes(path);
  std::mt19937_64 random(1);
  for (int i = 0; i < 300; ++i) {
    Bytes bytes = sound;
    bytes[random() % bytes.size()] ^= static_cast<std::uint8_t>(1 + random() % 255);
    std::filesystem::remove(path);
    test::write_bytes(path, bytes);
    CHECK_THROWS(CountFileError, path + ", byte ", {
      NgramCounter read(settings({63, 3}, 2));
      read.add_file(open_count_file(path), never);
      for (std::int64_t n = 1; n <= 3; ++n) read.counts(n, never);
      written(read);
    });
  }
}

// A table of one entry.
test::TableBytes table_of(TableKind kind, unsigned order, WideKey key, std::uint64_t count) {
  Bytes bytes(64);
  bytes.resize(static_cast<std::size_t>(put_varint(put_varint(bytes.data(), key), count) - bytes.data()));
  return {static_cast<std::uint32_t>(kind), order, {{key, 1, bytes}}};
}

// Files whose checksums are right but whose history was never counted, or whose counts do not fit.
void test_files_that_lie_are_refused_by_every_question() {
  for (const Kind& kind : {Kind{1271, 2}, Kind{2147483648, 2}, Kind{1271, 3}, Kind{50257, 4}, Kind{7, 5}}) {
    const unsigned bits = token_bits_for(kind.vocab_size);
    // An n-gram of the same token throughout.
    const auto key_of = [&](unsigned n, unsigned token) {
      WideKey key = 0;
      while (n-- > 0) key = key << bits | token;
      return key;
    };
    const std::uint64_t half = std::uint64_t{1} << 63;
    for (unsigned n = 1; n < kind.order; ++n) {
      const auto check = [&](const std::vector<test::TableBytes>& tables, auto error, const std::string& message) {
        using Error = decltype(error);
        test::FileBytes file;
        file.order = kind.order;
        file.vocab_size = kind.vocab_size;
        file.totals = {9, 9, 9, 9, 9};
        for (unsigned above = kind.order; above < 5; ++above) file.totals[above] = 0;
        file.tables = tables;
        const Folder folder;
        test::write_bytes(folder.path("a.mlc"), file.bytes());
        NgramCounter counter(settings(kind, 1));
        counter.add_file(open_count_file(folder.path("a.mlc")), never);
        CHECK_THROWS(Error, message, counter.counts(n, never));
        CHECK_THROWS(Error, message, counter.distinct(n, never));
        CHECK_THROWS(Error, message, counter.count_of_counts(n, never));
        CHECK_THROWS(Error, message, counter.entropy_of(n, never));
        CHECK_THROWS(Error, message, counter.conditional_entropy_of(n, never));
        CHECK_THROWS(Error, message, counter.weighted_counts_of_counts(n, false, {{2}}, never));
        CHECK_THROWS(Error, message, counter.count_of(std::vector<std::int64_t>(n, 3), never));
      };
      for (const unsigned counted : {1u, 3u, 5u}) {
        check({table_of(TableKind::ngrams, kind.order, key_of(kind.order, counted), 4),
               table_of(TableKind::history, n, key_of(n, 3), counted == 3 ? 5 : 1)},
              std::invalid_argument(""), "more of an n-gram is history than was counted");
      }
      check({table_of(TableKind::ngrams, kind.order, key_of(kind.order, 3), half),
             table_of(TableKind::tails, n, key_of(n, 3), half)},
            std::overflow_error(""), "an n-gram is counted too often");
    }
  }
}

void test_a_disk_that_fails_changes_nothing() {
  const auto& [kind, tokens] = sorted_pairs;
  const Stream stream = uniform_stream(tokens, kind.vocab_size, 1271, 3);
  const Folder folder;
  CounterSettings made = limited(kind, 1, folder);
  made.folder = folder.path("absent");
  NgramCounter counter(made);
  const Stream before = test::skewed_stream(1000, kind.vocab_size, 30, 5);
  counter.update(before.documents(), 0, never);
  CHECK_THROWS(FileError, "No such file", counter.update(stream.documents(), 0, never));
  CHECK(counter.total(1, never) == 1000);
  CHECK_THROWS(FileError, "No such file", counter.write(folder.path("absent/a.mlc"), "", never));
  NgramCounter expected(settings(kind, 1));
  expected.update(before.documents(), 0, never);
  check_equal(counter, expected);
  std::filesystem::create_directory(made.folder);
  counter.update(stream.documents(), 0, never);
  expected.update(stream.documents(), 0, never);
  check_equal(counter, expected);
}

void test_what_is_saved_is_restored() {
  for (const Kind& kind : {Kind{63, 1}, Kind{1271, 2}, Kind{256, 4}}) {
    const Folder folder;
    const Stream stream = test::skewed_stream(100000, kind.vocab_size, 30, 6);
    const CounterSettings made = lasting(settings(kind, 2), folder);
    NgramCounter plain(settings(kind, 1));
    NgramCounter::Saved saved{};
    for (int round = 0; round < 4; ++round) {
      NgramCounter counter(made);
      if (round > 0) counter.restore(saved, never);
      for (int i = 0; i < 3; ++i) {
        counter.update(stream.documents(), 0, never);
        plain.update(stream.documents(), 0, never);
        saved = counter.save(never);
        counter.forget_others(saved, never);
      }
      std::size_t files = 0;
      for (const NgramCounter::Saved::Table& table : saved.tables) files += table.files.size();
      CHECK(folder.files() == files);
      check_equal(counter, plain);
      // Not saved, and so lost.
      counter.update(stream.documents(), 0, never);
    }
    NgramCounter last(made);
    last.restore(saved, never);
    check_equal(last, plain);
    CHECK(last.disk_use().now > 0);
    last.forget_others({saved.totals, {}}, never);
    CHECK(last.disk_use().now == 0);
  }
}

void test_a_restore_that_fails_changes_nothing() {
  const Folder folder;
  const Stream stream = test::skewed_stream(1000, 63, 30, 6);
  const CounterSettings made = lasting(settings({63, 2}, 1), folder);
  NgramCounter counter(made);
  counter.update(stream.documents(), 0, never);
  const NgramCounter::Saved saved = counter.save(never);
  NgramCounter other(made);
  NgramCounter::Saved wrong = saved;
  std::swap(wrong.tables[0].files, wrong.tables[1].files);
  CHECK_THROWS(CountFileError, "holds other counts than the checkpoint says", other.restore(wrong, never));
  wrong = saved;
  wrong.tables[0].order = 3;
  CHECK_THROWS(std::invalid_argument, "no table of order 3 belongs to a counter of order 2",
               other.restore(wrong, never));
  wrong = saved;
  wrong.tables[1].files = {folder.path("absent")};
  CHECK_THROWS(FileError, "No such file", other.restore(wrong, never));
  CHECK(other.total(1, never) == 0 && other.distinct(2, never) == 0);
  other.restore(saved, never);
  check_equal(other, counter);
}

void test_an_interrupted_spill_changes_nothing() {
  const auto& [kind, tokens] = sorted_pairs;
  const Folder folder;
  const Stream stream = uniform_stream(tokens, kind.vocab_size, 1271, 3);
  NgramCounter counter(limited(kind, 1, folder));
  counter.update(stream.documents(), 0, never);
  int asked = 0;
  for (int most = 1; most < 12; most += 3) {
    asked = 0;
    try {
      counter.update(stream.documents(), 0, [&] { return ++asked > most; });
      break;
    } catch (const Interrupted&) {
    }
    CHECK(counter.total(1, never) == tokens);
  }
  NgramCounter expected(settings(kind, 2));
  while (expected.total(1, never) < counter.total(1, never)) expected.update(stream.documents(), 0, never);
  check_equal(counter, expected);
}

}  // namespace

int main() {
  test_a_limit_of_memory_changes_no_bit();
  if (!mixlaw::test::threads_alone) test_written_bytes_depend_on_the_counts_alone();
  if (!mixlaw::test::threads_alone) test_history_that_is_not_counted_yet_can_be_written();
  test_a_file_that_is_read_can_be_counted_on_with();
  if (!mixlaw::test::threads_alone) test_files_of_other_counts_are_refused();
  if (!mixlaw::test::threads_alone) test_damage_is_an_error_and_never_a_count();
  if (!mixlaw::test::threads_alone) test_files_that_lie_are_refused_by_every_question();
  if (!mixlaw::test::threads_alone) test_a_disk_that_fails_changes_nothing();
  if (!mixlaw::test::threads_alone) test_what_is_saved_is_restored();
  if (!mixlaw::test::threads_alone) test_a_restore_that_fails_changes_nothing();
  test_an_interrupted_spill_changes_nothing();
  return mixlaw::test::finish();
}
