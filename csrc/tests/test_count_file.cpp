#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "check.hpp"
#include "count_file_bytes.hpp"
#include "folder.hpp"
#include "mixlaw/count_file.hpp"
#include "streams.hpp"

namespace {

using namespace mixlaw;
using test::Bytes;
using test::Counts;
using test::FileBytes;
using test::Folder;

// The counts of a run, every segment of which is checked first.
Counts checked_counts(const Run& run) {
  for (const Segment& segment : run.segments) segment.holder->check(segment);
  return test::counts_of(run);
}

void read_all(const std::string& path) {
  for (const Table& table : open_count_file(path).tables) checked_counts(table.run);
}

// Every so many entries a segment.
std::vector<Segment> write_counts(CountFileWriter& writer, const Counts& counts, std::size_t entries_a_segment) {
  struct Sink : RunSink {
    explicit Sink(CountFileWriter& writer_) : file(writer_) {}
    Segment keep(WideKey first_key, std::uint64_t entries, const std::uint8_t* bytes, std::size_t size) override {
      return file.keep(first_key, entries, bytes, size);
    }
    Run finish(std::vector<Segment>) override { return {}; }
    CountFileWriter& file;
  } sink(writer);
  RunWriter<WideKey> run(sink);
  std::vector<Segment> segments;
  std::size_t written = 0;
  for (const auto& [key, count] : counts) {
    run.write(key, count);
    if (++written % entries_a_segment == 0) {
      for (Segment& segment : run.finish()) segments.push_back(std::move(segment));
    }
  }
  for (Segment& segment : run.finish()) segments.push_back(std::move(segment));
  return segments;
}

struct Content {
  CountFileHead head;
  std::vector<std::pair<TableKind, Counts>> tables;  // of orders `orders`
  std::vector<unsigned> orders;
};

Content content(unsigned order, std::uint64_t vocab_size, std::size_t entries) {
  Content made;
  made.head = {order, vocab_size, {}, std::string("{\"name\": \"caf\xc3\xa9\0\"}", 18)};
  for (unsigned n = 0; n < order; ++n) made.head.totals[n] = ~std::uint64_t{0} - n;
  std::mt19937_64 random(order);
  const auto counts = [&](unsigned n) {
    Counts result;
    for (std::size_t i = 0; i < entries; ++i) {
      WideKey key = 0;
      for (unsigned t = 0; t < n; ++t) key = key << token_bits_for(vocab_size) | random() % vocab_size;
      result[key] = i == 0 ? ~std::uint64_t{0} : 1 + random() % 300;
    }
    return result;
  };
  made.tables.emplace_back(TableKind::ngrams, counts(order));
  made.orders.push_back(order);
  for (unsigned n = 1; n < order; ++n) {
    for (const TableKind kind : {TableKind::tails, TableKind::history}) {
      made.tables.emplace_back(kind, counts(n));
      made.orders.push_back(n);
    }
  }
  return made;
}

void write(const Content& what, const std::string& path, std::size_t entries_a_segment) {
  CountFileWriter writer(path, what.head, FileLife::lasting, nullptr);
  for (std::size_t t = 0; t < what.tables.size(); ++t) {
    const auto& [kind, counts] = what.tables[t];
    writer.add_table(kind, what.orders[t], write_counts(writer, counts, entries_a_segment));
  }
  writer.close(true);
}

void test_what_is_written_is_read() {
  const Folder folder;
  const std::string path = folder.path("a.mlc");
  for (const auto& [order, vocab_size] :
       {std::pair{1u, std::uint64_t{1}}, {2u, 1271u}, {2u, 2147483648u}, {3u, 65537u}, {5u, 33554432u}}) {
    for (const std::size_t entries : {std::size_t{1}, std::size_t{1271}, std::size_t{60000}}) {
      const Content what = content(order, vocab_size, entries);
      write(what, path, entries > 1271 ? entries : 255);
      const CountFile file = open_count_file(path);
      CHECK(file.head.order == order && file.head.vocab_size == vocab_size);
      CHECK(file.head.totals == what.head.totals && file.head.metadata == what.head.metadata);
      CHECK(file.tables.size() == what.tables.size());
      for (std::size_t t = 0; t < file.tables.size(); ++t) {
        CHECK(file.tables[t].kind == what.tables[t].first && file.tables[t].order == what.orders[t]);
        CHECK(!file.tables[t].run.in_memory && file.tables[t].run.file == path);
        CHECK(checked_counts(file.tables[t].run) == what.tables[t].second);
      }
      unlink(path.c_str());
    }
  }
}

void test_a_file_without_tables_is_read() {
  const Folder folder;
  const std::string path = folder.path("empty.mlc");
  CountFileWriter(path, {3, 10, {}, ""}, FileLife::lasting, nullptr).close(false);
  const CountFile file = open_count_file(path);
  CHECK(file.tables.empty() && file.head.metadata.empty() && file.head.order == 3);
}

// Pairs over a vocabulary of 1000 (10 bits) in two segments, and a table of tails.
FileBytes sound_file() {
  FileBytes file;
  file.totals = {9, 8, 0, 0, 0};
  file.tables = {{0, 2, {{1027, 2, {0x83, 0x08, 1, 2, 5}}, {2048, 1, {0x80, 0x10, 0x80, 0x01}}}},
                 {1, 1, {{999, 1, {0xe7, 0x07, 1}}}}};
  return file;
}

// The same over 25 bits a token, five tokens: keys of 125 bits.
FileBytes sound_wide_file() {
  FileBytes file;
  file.order = 5;
  file.vocab_size = 33554432;
  Bytes high(17, 0x80);
  high.insert(high.end(), {0x20, 7});  // 2^124, 7 times
  file.tables = {{0, 5, {{3, 1, {3, 1}}, {WideKey{1} << 124, 1, high}}}, {2, 4, {{8, 2, {8, 1, 1, 1}}}}};
  return file;
}

void test_the_bytes_are_those_of_the_document() {
  const Folder folder;
  const std::string path = folder.path("a.mlc");
  {
    CountFileWriter writer(path, {2, 1000, {9, 8, 0, 0, 0}, "{}"}, FileLife::lasting, nullptr);
    writer.add_table(TableKind::ngrams, 2, write_counts(writer, {{1027, 1}, {1029, 5}, {2048, 128}}, 2));
    writer.add_table(TableKind::tails, 1, write_counts(writer, {{999, 1}}, 2));
    writer.close(false);
  }
  CHECK(test::read_bytes(path) == sound_file().bytes());
  unlink(path.c_str());
  {
    CountFileWriter writer(path, {5, 33554432, {}, "{}"}, FileLife::lasting, nullptr);
    writer.add_table(TableKind::ngrams, 5, write_counts(writer, {{3, 1}, {WideKey{1} << 124, 7}}, 1));
    writer.add_table(TableKind::history, 4, write_counts(writer, {{8, 1}, {9, 1}}, 2));
    writer.close(false);
  }
  CHECK(test::read_bytes(path) == sound_wide_file().bytes());
}

// Reading must fail, and say where.
void check_refused(const std::string& path, const std::string& what) {
  try {
    read_all(path);
  } catch (const CountFileError& error) {
    if (std::string(error.what()).rfind(path + ", byte ", 0) != 0) {
      test::fail(__FILE__, __LINE__, what + ": the message names no place: " + error.what());
    }
    return;
  }
  test::fail(__FILE__, __LINE__, what + ": was read without a complaint");
}

void test_no_length_but_the_whole_is_read() {
  const Folder folder;
  const std::string path = folder.path("a.mlc");
  for (const FileBytes& file : {sound_file(), sound_wide_file()}) {
    Bytes bytes = file.bytes();
    test::write_bytes(path, bytes);
    read_all(path);
    for (std::size_t size = bytes.size(); size-- > 0;) {
      CHECK(truncate(path.c_str(), static_cast<off_t>(size)) == 0);
      check_refused(path, "the first " + std::to_string(size) + " bytes");
    }
    for (const std::uint8_t more : Bytes{0, 10, 255}) {
      bytes.push_back(more);
      test::write_bytes(path, bytes);
      check_refused(path, "bytes behind the end");
    }
  }
}

void test_no_bit_can_be_flipped_unseen() {
  const Folder folder;
  const std::string path = folder.path("a.mlc");
  for (const FileBytes& file : {sound_file(), sound_wide_file()}) {
    const Bytes bytes = file.bytes();
    test::write_bytes(path, bytes);
    const int descriptor = open(path.c_str(), O_WRONLY | O_CLOEXEC);
    for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
      const auto flipped = static_cast<std::uint8_t>(bytes[bit / 8] ^ 1 << bit % 8);
      const auto place = static_cast<off_t>(bit / 8);
      CHECK(pwrite(descriptor, &flipped, 1, place) == 1);
      check_refused(path, "bit " + std::to_string(bit) + " flipped");
      CHECK(pwrite(descriptor, &bytes[bit / 8], 1, place) == 1);
    }
    close(descriptor);
    read_all(path);
  }
}

// Files with right checksums, whose content is wrong.
void test_content_is_checked_too() {
  const Folder folder;
  const std::string path = folder.path("a.mlc");
  const auto refuse = [&](const std::string& text, const std::function<void(FileBytes&)>& change, bool wide = false) {
    FileBytes file = wide ? sound_wide_file() : sound_file();
    change(file);
    test::write_bytes(path, file.bytes());
    CHECK_THROWS(CountFileError, text, read_all(path));
  };
  const std::uint64_t huge = std::uint64_t{1} << 63;
  // The head.
  refuse("byte 0: not a count file", [](FileBytes& file) { file.magic[1] = 'm'; });
  refuse("byte 8: version 2 of the format, known is 1", [](FileBytes& file) { file.version = 2; });
  refuse("byte 12: order 0", [](FileBytes& file) { file.order = 0; });
  refuse("byte 12: order 6", [](FileBytes& file) { file.order = 6; });
  refuse("byte 12: order 4294967295", [](FileBytes& file) { file.order = ~0u; });
  refuse("byte 16: a vocabulary of 0", [](FileBytes& file) { file.vocab_size = 0; });
  refuse("byte 16: a vocabulary of 2147483649", [](FileBytes& file) { file.vocab_size = (1u << 31) + 1; });
  refuse("byte 16: a vocabulary of 33554433", [](FileBytes& file) { file.vocab_size = (1 << 25) + 1; }, true);
  refuse("byte 24: 0 groups", [](FileBytes& file) { file.groups = 0; });
  refuse("byte 24: 257 groups", [](FileBytes& file) { file.groups = 257; });
  refuse("byte 24: 16 groups of so long n-grams", [](FileBytes& file) { file.groups = 16; }, true);
  refuse("byte 80: ends within the metadata", [](FileBytes& file) { file.metadata_size_error = ~std::uint64_t{2}; });
  refuse("byte 80: ends within the metadata", [](FileBytes& file) { file.metadata_size_error = 1000; });
  // The index.
  refuse("the index does not lie", [](FileBytes& file) { file.index_begin_error = -1; });
  refuse("the index does not lie", [](FileBytes& file) { file.index_begin_error = -1000; });
  refuse("the index does not lie", [](FileBytes& file) { file.index_begin_error = 1 << 20; });
  refuse("the index does not lie", [](FileBytes& file) { file.index_size_error = 8; });
  refuse("does not end as a count file", [](FileBytes& file) { file.end_magic[3] = 'E'; });
  refuse("ends within a table's head", [](FileBytes& file) { file.tables_error = 1; });
  refuse("ends within a table's head", [](FileBytes& file) { file.tables_error = ~5u; });
  refuse("the index holds more than its tables", [](FileBytes& file) { file.tables_error = ~0u; });
  refuse("the index holds more than its tables", [](FileBytes& file) { file.behind_tables = {0}; });
  refuse("no such table: kind 3, order 1", [](FileBytes& file) { file.tables[1].kind = 3; });
  refuse("no such table: kind 0, order 1", [](FileBytes& file) { file.tables[1].kind = 0; });
  refuse("no such table: kind 1, order 2", [](FileBytes& file) { file.tables[1].order = 2; });
  refuse("no such table: kind 1, order 0", [](FileBytes& file) { file.tables[1].order = 0; });
  refuse("no such table: kind 0, order 3", [](FileBytes& file) { file.tables[0].order = 3; });
  refuse("a table stands twice", [](FileBytes& file) { file.tables.push_back(file.tables[1]); });
  refuse("more segments than the index has room for", [](FileBytes& file) { file.tables[1].segments_error = 1; });
  refuse("more segments than the index has room for", [&](FileBytes& file) { file.tables[1].segments_error = huge; });
  refuse("do not hold as many n-grams as the table", [](FileBytes& file) { file.tables[0].entries_error = 1; });
  refuse("do not hold as many n-grams as the table", [&](FileBytes& file) { file.tables[0].entries_error = huge; });
  for (const std::int64_t error : {-1000, -90, 100, 1 << 20}) {
    refuse("a segment does not lie in the file",
           [error](FileBytes& file) { file.tables[0].segments[0].offset_error = error; });
  }
  refuse("a segment does not lie in the file", [](FileBytes& file) { file.tables[0].segments[1].size_error = 1000; });
  refuse("a segment does not lie in the file", [](FileBytes& file) { file.tables[0].segments[1].size_error = -5; });
  refuse("a segment of impossible length", [](FileBytes& file) { file.tables[0].segments[1].entries = 0; });
  refuse("a segment of impossible length", [](FileBytes& file) { file.tables[0].segments[1].entries = 3; });
  refuse("a segment of impossible length", [&](FileBytes& file) { file.tables[0].segments[1].entries = huge; });
  refuse("the segments are not in order",
         [](FileBytes& file) { std::swap(file.tables[0].segments[0], file.tables[0].segments[1]); });
  refuse("the segments are not in order",
         [](FileBytes& file) { file.tables[0].segments[1] = file.tables[0].segments[0]; });
  refuse("the segments are not in order", [](FileBytes& file) { file.tables[1].segments[0].first_key = 1024; });
  refuse("the segments are not in order",
         [](FileBytes& file) { file.tables[1].segments[0].first_key |= WideKey{1} << 64; });
  refuse("the segments are not in order", [](FileBytes& file) { file.tables[0].segments[1].first_key <<= 120; }, true);
  // Segments.
  const auto refuse_bytes = [&](const std::string& text, const Bytes& bytes, std::uint64_t entries = 2) {
    refuse(text, [&](FileBytes& file) {
      file.tables[0].segments[0].bytes = bytes;
      file.tables[0].segments[0].entries = entries;
    });
  };
  const Bytes fill(18, 0x80);
  const auto long_varint = [](std::size_t bytes, std::uint8_t last) {
    Bytes made{0x83, 0x08, 1};
    made.insert(made.end(), bytes - 1, 0x80);
    made.insert(made.end(), {last, 1});
    return made;
  };
  refuse_bytes("entry 1 is cut off or out of range", {0x83, 0x08, 1, 2, 0x85});
  refuse_bytes("entry 1 is cut off or out of range", {0x83, 0x08, 1, 2});
  refuse_bytes("entry 1 is cut off or out of range", long_varint(10, 2));
  refuse_bytes("entry 1 is cut off or out of range", long_varint(11, 0));
  refuse_bytes("entry 1 is cut off or out of range", long_varint(19, 1));
  refuse_bytes("entry 0 has a count of 0", {0x83, 0x08, 0, 2, 5});
  refuse_bytes("entry 1 has a count of 0", {0x83, 0x08, 1, 2, 0x80, 0x00});
  refuse_bytes("entry 1 repeats an n-gram", {0x83, 0x08, 1, 0, 5});
  refuse_bytes("entry 1 repeats an n-gram", {0x83, 0x08, 1, 0x80, 0x00, 5});
  refuse_bytes("entry 1 is above the n-grams that may stand here", {0x83, 0x08, 1, 0xfd, 0x07, 5});  // 2048, the next
  refuse_bytes("entry 1 is above the n-grams that may stand here", long_varint(10, 1));              // 2^63
  refuse_bytes("the first n-gram is not the one that the index names", {0x82, 0x08, 1, 2, 5});
  refuse_bytes("more bytes than entries", {0x83, 0x08, 1, 2, 5, 1, 1});
  refuse_bytes("more bytes than entries", {0x83, 0x08, 1, 2, 5}, 1);
  refuse("entry 0 holds a token outside the vocabulary",
         [](FileBytes& file) { file.tables[1].segments[0] = {1000, 1, {0xe8, 0x07, 1}}; });
  refuse("entry 0 holds a token outside the vocabulary", [](FileBytes& file) {
    // The first token of a pair: 1000 << 10.
    file.tables[0].segments = {{1024000, 1, {0x80, 0xc0, 0x3e, 1}}};
  });
  const auto refuse_wide = [&](const std::string& text, const Bytes& bytes) {
    refuse(text, [&](FileBytes& file) { file.tables[0].segments[1].bytes = bytes; }, true);
  };
  Bytes above = fill;
  above.insert(above.end(), {0x02, 1});  // 2^127
  refuse_wide("entry 0 is above the n-grams that may stand here", above);
  above[18] = 0x04;  // 2^128
  refuse_wide("entry 0 is cut off or out of range", above);
  above[18] = 0x80;
  refuse_wide("entry 0 is cut off or out of range", above);
  refuse(
      "the first n-gram is not the one that the index names",
      [](FileBytes& file) { file.tables[0].segments[1].first_key += 1; }, true);
}

void test_segments_that_overlap_count_nothing_twice() {
  const Folder folder;
  const std::string path = folder.path("a.mlc");
  FileBytes file = sound_file();
  // Two n-grams, 5 and 12, and a segment that begins at the second.
  file.tables[0].segments = {{5, 2, {5, 1, 7, 1}}, {7, 1, {}, -2, 2}};
  test::write_bytes(path, file.bytes());
  CHECK_THROWS(CountFileError, "entry 1 is above the n-grams that may stand here", read_all(path));
}

void test_what_is_no_file_is_refused() {
  const Folder folder;
  CHECK_THROWS(CountFileError, folder.path() + ", byte 0: not a file", open_count_file(folder.path()));
  CHECK_THROWS(CountFileError, "byte 0: not a file", open_count_file("/dev/null"));
  // Nobody writes to the pipe: opening it must not wait.
  CHECK(mkfifo(folder.path("pipe").c_str(), 0600) == 0);
  CHECK_THROWS(CountFileError, "byte 0: not a file", open_count_file(folder.path("pipe")));
  test::write_bytes(folder.path("empty"), {});
  CHECK_THROWS(CountFileError, "byte 0: ends here: too short", open_count_file(folder.path("empty")));
  try {
    open_count_file(folder.path("absent.mlc"));
    CHECK(false);
  } catch (const FileError& error) {
    CHECK(error.code().value() == ENOENT && error.path() == folder.path("absent.mlc"));
  }
}

void test_a_writer_leaves_whole_files_or_none() {
  const Folder folder;
  const std::string path = folder.path("a.mlc");
  const auto gauge = std::make_shared<DiskGauge>();
  {
    CountFileWriter writer(path, {1, 10, {}, ""}, FileLife::lasting, gauge);
    write_counts(writer, {{1, 1}}, 1);
  }
  CHECK(folder.files() == 0);
  test::write_bytes(path, {1, 2, 3});
  try {
    const CountFileWriter writer(path, {1, 10, {}, ""}, FileLife::lasting, gauge);
    CHECK(false);
  } catch (const FileError& error) {
    CHECK(error.code().value() == EEXIST && error.path() == path);
  }
  CHECK((test::read_bytes(path) == Bytes{1, 2, 3}));
  CHECK_THROWS(FileError, "", CountFileWriter(folder.path("no/a.mlc"), {1, 10, {}, ""}, FileLife::lasting, gauge));
}

// A limit on the size of files stands for a disk that is full, at every byte of the file.
void test_a_disk_that_is_full_is_an_error_wherever_it_is() {
  const Folder folder;
  const std::string path = folder.path("a.mlc");
  const Content what = content(2, 1000, 20);
  write(what, path, 7);
  const std::size_t size = test::read_bytes(path).size();
  unlink(path.c_str());
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  for (std::size_t room = 0; room < size; ++room) {
    const rlimit tight{room, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &tight);
    try {
      write(what, path, 7);
      CHECK(false);
    } catch (const FileError& error) {
      CHECK(error.code().value() == EFBIG && error.path() == path);
    }
    CHECK(folder.files() == 0);
  }
  setrlimit(RLIMIT_FSIZE, &before);
  write(what, path, 7);
  CHECK(test::read_bytes(path).size() == size);
}

void test_a_nameless_file_is_read_and_leaves_nothing() {
  const Folder folder;
  const auto gauge = std::make_shared<DiskGauge>();
  {
    FileSink sink(folder.path("a.mlc"), {1, 1000}, FileLife::nameless, gauge);
    CHECK(folder.files() == 0);
    RunWriter<std::uint64_t> writer(sink);
    for (std::uint64_t key = 0; key < 1000; ++key) writer.write(key, key + 1);
    const Run run = sink.finish(writer.finish());
    CHECK(run.file.empty() && !run.in_memory && folder.files() == 0);
    CHECK(test::counts_of(run).size() == 1000);
    CHECK(gauge->use().now > run.bytes && gauge->use().now == gauge->use().written);
  }
  CHECK(gauge->use().now == 0 && gauge->use().peak == gauge->use().written);
}

}  // namespace

int main() {
  test_what_is_written_is_read();
  test_a_file_without_tables_is_read();
  test_the_bytes_are_those_of_the_document();
  test_no_length_but_the_whole_is_read();
  test_no_bit_can_be_flipped_unseen();
  test_content_is_checked_too();
  test_segments_that_overlap_count_nothing_twice();
  test_what_is_no_file_is_refused();
  test_a_writer_leaves_whole_files_or_none();
  test_a_disk_that_is_full_is_an_error_wherever_it_is();
  test_a_nameless_file_is_read_and_leaves_nothing();
  return mixlaw::test::finish();
}
