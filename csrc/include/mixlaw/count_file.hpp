// Count files (.mlc): runs on disk. docs/count-format.md describes the bytes.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "mixlaw/ngram_keys.hpp"
#include "mixlaw/run.hpp"

namespace mixlaw {

// A file that is no whole count file. The message names the file, the offset in bytes, and what is wrong there.
class CountFileError : public std::runtime_error {
 public:
  CountFileError(const std::string& path, std::uint64_t offset, const std::string& reason)
      : std::runtime_error(path + ", byte " + std::to_string(offset) + ": " + reason) {}
};

// The system refused to read or write a file.
class FileError : public std::system_error {
 public:
  FileError(int error, const std::string& path) : std::system_error(error, std::generic_category()), path_(path) {}
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Bytes of files that a counter writes while it counts.
struct DiskUse {
  std::uint64_t written = 0;  // since the beginning
  std::uint64_t now = 0;
  std::uint64_t peak = 0;
};

class DiskGauge {
 public:
  void add(std::uint64_t bytes);
  void remove(std::uint64_t bytes);
  DiskUse use() const;

 private:
  mutable std::mutex mutex_;
  DiskUse use_;
};

// What a table of a count file holds.
enum class TableKind : std::uint8_t {
  ngrams = 0,   // n-grams of the file's order
  tails = 1,    // shorter ones that end a document
  history = 2,  // shorter ones that lie in history
};

struct Table {
  TableKind kind;
  unsigned order;
  Run run;
};

struct CountFileHead {
  unsigned order = 0;
  std::uint64_t vocab_size = 0;
  std::array<std::uint64_t, max_order> totals{};  // n-grams counted, n = 1, 2, ...; 0 above the order
  std::string metadata;                           // UTF-8; the core does not look into it
  unsigned groups = 1;                            // of documents, which are counted apart
};

// A count file that is mapped into memory. What is opened rather than written is checked, segment by segment, before it
// is read.
class MappedFile;

enum class FileLife {
  nameless,  // the file has no name from the start, and is gone when nobody reads it
  lasting,
};

// Writes a count file, which must not exist yet. Where it fails, it removes the file.
class CountFileWriter {
 public:
  CountFileWriter(std::string path, const CountFileHead& head, FileLife life, std::shared_ptr<DiskGauge> gauge);
  ~CountFileWriter();
  CountFileWriter(const CountFileWriter&) = delete;
  CountFileWriter& operator=(const CountFileWriter&) = delete;

  // Safe for several threads.
  Segment keep(WideKey first_key, std::uint64_t entries, const std::uint8_t* bytes, std::size_t size);
  // Enters kept segments as a table, in the order of their keys.
  void add_table(TableKind kind, unsigned order, const std::vector<Segment>& segments);
  // Completes the file: from here on its segments can be read. `sync` waits until all of it is on the disk.
  void close(bool sync);

 private:
  void write(const std::uint8_t* bytes, std::size_t size, std::uint64_t offset);

  std::string path_;
  int descriptor_ = -1;
  std::shared_ptr<MappedFile> file_;
  std::atomic<std::uint64_t> end_{0};
  std::atomic<std::uint32_t> segments_{0};
  std::vector<std::uint8_t> index_;
  std::uint32_t tables_ = 0;
};

struct CountFile {
  CountFileHead head;
  std::vector<Table> tables;
};

// Opens a count file. Its index is checked at once, its segments when they are read: CountFileError.
CountFile open_count_file(const std::string& path);

// Puts a run into a file of its own.
class FileSink : public RunSink {
 public:
  FileSink(std::string path, const NgramKeys& keys, FileLife life, std::shared_ptr<DiskGauge> gauge);

  Segment keep(WideKey first_key, std::uint64_t entries, const std::uint8_t* bytes, std::size_t size) override {
    return writer_.keep(first_key, entries, bytes, size);
  }
  Run finish(std::vector<Segment> segments) override;

 private:
  std::string path_;
  unsigned order_;
  FileLife life_;
  CountFileWriter writer_;
};

}  // namespace mixlaw
