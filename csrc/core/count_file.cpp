#include "mixlaw/count_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "mixlaw/checksum.hpp"
#include "mixlaw/little_endian.hpp"

namespace mixlaw {
namespace {

constexpr std::uint8_t magic[8] = {0x89, 'M', 'L', 'C', '\r', '\n', 0x1a, '\n'};
constexpr std::uint8_t end_magic[8] = {'M', 'L', 'C', 'e', 'n', 'd', '\r', '\n'};
constexpr std::uint32_t version = 1;
constexpr std::uint64_t fixed_head_size = 8 + 4 + 4 + 8 + 8 + 8 * max_order + 8;
constexpr std::uint64_t checksum_size = 8;
constexpr std::uint64_t segment_entry_size = 6 * 8;
constexpr std::uint64_t trailer_size = 4 * 8;

std::vector<std::uint8_t> head_bytes(const CountFileHead& head) {
  std::vector<std::uint8_t> bytes(magic, magic + sizeof magic);
  append_u32(bytes, version);
  append_u32(bytes, head.order);
  append_u64(bytes, head.vocab_size);
  append_u64(bytes, head.groups);
  for (const std::uint64_t total : head.totals) append_u64(bytes, total);
  append_u64(bytes, head.metadata.size());
  bytes.insert(bytes.end(), head.metadata.begin(), head.metadata.end());
  append_u64(bytes, checksum(bytes.data(), bytes.size()));
  return bytes;
}

// Reads numbers from bytes of a file, and refuses to read beyond their end.
class Fields {
 public:
  Fields(const std::string& path, const std::uint8_t* file, std::uint64_t begin, std::uint64_t end)
      : path_(path), file_(file), at_(begin), end_(end) {}

  std::uint64_t at() const { return at_; }
  std::uint64_t left() const { return end_ - at_; }
  std::uint32_t u32(const char* what) { return static_cast<std::uint32_t>(load_u32(take(4, what))); }
  std::uint64_t u64(const char* what) { return load_u64(take(8, what)); }
  const std::uint8_t* take(std::uint64_t size, const char* what) {
    if (size > left()) fail(std::string("ends within ") + what);
    return file_ + std::exchange(at_, at_ + size);
  }
  [[noreturn]] void fail(const std::string& reason) const { throw CountFileError(path_, at_, reason); }

 private:
  const std::string& path_;
  const std::uint8_t* file_;
  std::uint64_t at_;
  std::uint64_t end_;
};

// Checks that the bytes of a segment are entries in ascending order of keys within the vocabulary; empty, or what is
// wrong.
template <class Key>
std::string find_fault(const Segment& segment, const NgramKeys& keys, WideKey limit) {
  const std::uint8_t* in = segment.begin();
  const std::uint8_t* const end = segment.end();
  const Key token_mask = (Key{1} << keys.token_bits) - 1;
  Key key = 0;
  for (std::uint64_t i = 0; i < segment.entries; ++i) {
    Key distance = 0;
    std::uint64_t count = 0;
    if (!get_checked_varint(in, end, distance) || !get_checked_varint(in, end, count)) {
      return "entry " + std::to_string(i) + " is cut off or out of range";
    }
    if (i > 0 && distance == 0) return "entry " + std::to_string(i) + " repeats an n-gram";
    if (count == 0) return "entry " + std::to_string(i) + " has a count of 0";
    if (distance >= limit || key >= limit - distance) {
      return "entry " + std::to_string(i) + " is above the n-grams that may stand here";
    }
    key += distance;
    if (i == 0 && key != segment.first_key) return "the first n-gram is not the one that the index names";
    for (unsigned t = 0; t < keys.order; ++t) {
      if ((key >> (t * keys.token_bits) & token_mask) >= keys.vocab_size) {
        return "entry " + std::to_string(i) + " holds a token outside the vocabulary";
      }
    }
  }
  return in == end ? "" : "more bytes than entries";
}

}  // namespace

void DiskGauge::add(std::uint64_t bytes) {
  const std::lock_guard<std::mutex> lock(mutex_);
  use_.written += bytes;
  use_.now += bytes;
  use_.peak = std::max(use_.peak, use_.now);
}

void DiskGauge::remove(std::uint64_t bytes) {
  const std::lock_guard<std::mutex> lock(mutex_);
  use_.now -= bytes;
}

DiskUse DiskGauge::use() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return use_;
}

class MappedFile : public Holder {
 public:
  MappedFile(std::string path, FileLife life, std::shared_ptr<DiskGauge> gauge)
      : path_(std::move(path)), life_(life), gauge_(std::move(gauge)) {}
  ~MappedFile() override {
    if (bytes_ != nullptr) munmap(const_cast<std::uint8_t*>(bytes_), size_);
    if (gauge_ && life_ == FileLife::nameless) gauge_->remove(counted_);
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::uint8_t* data() const override { return bytes_; }

  void map(int descriptor, std::uint64_t size) {
    void* const memory = mmap(nullptr, size, PROT_READ, MAP_SHARED, descriptor, 0);
    if (memory == MAP_FAILED) throw FileError(errno, path_);
    bytes_ = static_cast<const std::uint8_t*>(memory);
    size_ = size;
  }
  void count(std::uint64_t bytes) {
    counted_ += bytes;
    if (gauge_) gauge_->add(bytes);
  }
  // It is gone with this object, too.
  void lose_name() {
    unlink(path_.c_str());
    life_ = FileLife::nameless;
  }
  // Notes what the segment must be; the keys of segment `number` are below `limit`. In the order of their numbers.
  void expect(const NgramKeys& keys, WideKey limit) { expected_.push_back({keys, limit}); }

  void expect_no_more() { checked_ = std::vector<std::atomic<bool>>(expected_.size()); }

  void check(const Segment& segment) const override {
    if (expected_.empty() || checked_[segment.number].load(std::memory_order_acquire)) return;
    if (checksum(segment.begin(), segment.size) != segment.checksum) {
      throw CountFileError(
          path_, segment.offset,
          "the checksum of these " + std::to_string(segment.size) + " bytes is wrong: they are damaged");
    }
    const auto& [keys, limit] = expected_[segment.number];
    const std::string fault =
        keys.wide() ? find_fault<WideKey>(segment, keys, limit) : find_fault<std::uint64_t>(segment, keys, limit);
    if (!fault.empty()) throw CountFileError(path_, segment.offset, fault);
    checked_[segment.number].store(true, std::memory_order_release);
  }
  void leave(const Segment& segment) const override {
    // Some segments at a time, whole pages. Who still reads there gets them again.
    constexpr std::uint64_t stretch = std::uint64_t{1} << 19;
    const std::uint64_t begin = segment.offset / stretch * stretch;
    const std::uint64_t end = (segment.offset + segment.size) / stretch * stretch;
    if (begin < end) madvise(const_cast<std::uint8_t*>(bytes_) + begin, end - begin, MADV_DONTNEED);  // a hint
  }

 private:
  struct Expected {
    NgramKeys keys;
    WideKey limit;
  };

  std::string path_;
  FileLife life_;
  std::shared_ptr<DiskGauge> gauge_;
  std::atomic<std::uint64_t> counted_{0};
  const std::uint8_t* bytes_ = nullptr;
  std::uint64_t size_ = 0;
  std::vector<Expected> expected_;
  mutable std::vector<std::atomic<bool>> checked_;
};

CountFileWriter::CountFileWriter(std::string path, const CountFileHead& head, FileLife life,
                                 std::shared_ptr<DiskGauge> gauge)
    : path_(std::move(path)), file_(std::make_shared<MappedFile>(path_, life, std::move(gauge))) {
  descriptor_ = open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor_ < 0) throw FileError(errno, path_);
  if (life == FileLife::nameless) file_->lose_name();
  const std::vector<std::uint8_t> bytes = head_bytes(head);
  end_ = bytes.size();
  try {
    write(bytes.data(), bytes.size(), 0);
  } catch (...) {
    ::close(descriptor_);
    file_->lose_name();
    throw;
  }
}

CountFileWriter::~CountFileWriter() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  file_->lose_name();
}

void CountFileWriter::write(const std::uint8_t* bytes, std::size_t size, std::uint64_t offset) {
  while (size > 0) {
    const ssize_t written = pwrite(descriptor_, bytes, size, static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) throw FileError(written < 0 ? errno : ENOSPC, path_);
    file_->count(static_cast<std::uint64_t>(written));
    bytes += written;
    size -= static_cast<std::size_t>(written);
    offset += static_cast<std::uint64_t>(written);
  }
}

Segment CountFileWriter::keep(WideKey first_key, std::uint64_t entries, const std::uint8_t* bytes, std::size_t size) {
  const std::uint64_t offset = end_.fetch_add(size);
  write(bytes, size, offset);
  return {first_key, entries, offset, size, file_, checksum(bytes, size), 0};
}

void CountFileWriter::add_table(TableKind kind, unsigned order, const std::vector<Segment>& segments) {
  append_u32(index_, static_cast<std::uint32_t>(kind));
  append_u32(index_, order);
  std::uint64_t entries = 0;
  for (const Segment& segment : segments) entries += segment.entries;
  append_u64(index_, entries);
  append_u64(index_, segments.size());
  for (const Segment& segment : segments) {
    append_u64(index_, static_cast<std::uint64_t>(segment.first_key));
    append_u64(index_, static_cast<std::uint64_t>(segment.first_key >> 64));
    append_u64(index_, segment.entries);
    append_u64(index_, segment.offset);
    append_u64(index_, segment.size);
    append_u64(index_, segment.checksum);
  }
  ++tables_;
}

void CountFileWriter::close(bool sync) {
  std::vector<std::uint8_t> tail;
  append_u32(tail, tables_);
  tail.insert(tail.end(), index_.begin(), index_.end());
  const std::uint64_t index_size = tail.size();
  const std::uint64_t index_checksum = checksum(tail.data(), tail.size());
  append_u64(tail, end_);
  append_u64(tail, index_size);
  append_u64(tail, index_checksum);
  tail.insert(tail.end(), end_magic, end_magic + sizeof end_magic);
  write(tail.data(), tail.size(), end_);
  if (sync && fsync(descriptor_) != 0) throw FileError(errno, path_);
  file_->map(descriptor_, end_ + tail.size());
  if (::close(std::exchange(descriptor_, -1)) != 0 && errno != EINTR) throw FileError(errno, path_);
}

CountFile open_count_file(const std::string& path) {
  // A pipe, which is refused below, would wait for somebody who writes.
  const int descriptor = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (descriptor < 0) throw FileError(errno, path);
  auto file = std::make_shared<MappedFile>(path, FileLife::lasting, nullptr);
  struct stat status{};
  const bool known = fstat(descriptor, &status) == 0;
  const int error = errno;
  const auto size = static_cast<std::uint64_t>(status.st_size);
  try {
    if (!known) throw FileError(error, path);
    if (!S_ISREG(status.st_mode)) throw CountFileError(path, 0, "not a file");
    if (size < fixed_head_size + checksum_size + trailer_size) {
      throw CountFileError(path, size, "ends here: too short for a count file");
    }
    file->map(descriptor, size);
  } catch (...) {
    ::close(descriptor);
    throw;
  }
  ::close(descriptor);

  const std::uint8_t* const bytes = file->data();
  Fields head(path, bytes, 0, size);
  if (std::memcmp(head.take(sizeof magic, "the head"), magic, sizeof magic) != 0) {
    throw CountFileError(path, 0, "not a count file: it does not begin as one");
  }
  if (const std::uint32_t found = head.u32("the head"); found != version) {
    throw CountFileError(path, 8,
                         "version " + std::to_string(found) + " of the format, known is " + std::to_string(version));
  }
  CountFile result;
  result.head.order = head.u32("the head");
  result.head.vocab_size = head.u64("the head");
  const std::uint64_t groups = head.u64("the head");
  for (std::uint64_t& total : result.head.totals) total = head.u64("the head");
  const std::uint64_t metadata_size = head.u64("the head");
  const auto* const metadata = head.take(metadata_size, "the metadata");
  const std::uint64_t head_size = head.at();
  if (head.u64("the checksum of the head") != checksum(bytes, head_size)) {
    throw CountFileError(path, head_size, "the checksum of the head is wrong: it is damaged");
  }
  result.head.metadata.assign(reinterpret_cast<const char*>(metadata), metadata_size);
  const unsigned order = result.head.order;
  const std::uint64_t vocab_size = result.head.vocab_size;
  if (order < 1 || order > max_order) throw CountFileError(path, 12, "order " + std::to_string(order));
  if (vocab_size < 1 || vocab_size > std::uint64_t{1} << max_token_bits ||
      order * token_bits_for(vocab_size) > max_key_bits) {
    throw CountFileError(path, 16, "a vocabulary of " + std::to_string(vocab_size));
  }
  if (groups < 1 || groups > max_groups) throw CountFileError(path, 24, std::to_string(groups) + " groups");
  result.head.groups = static_cast<unsigned>(groups);
  if (NgramKeys(order, vocab_size, result.head.groups).key_bits > max_key_bits) {
    throw CountFileError(path, 24, std::to_string(groups) + " groups of so long n-grams");
  }

  Fields trailer(path, bytes, size - trailer_size, size);
  const std::uint64_t index_begin = trailer.u64("the trailer");
  const std::uint64_t index_size = trailer.u64("the trailer");
  const std::uint64_t index_checksum = trailer.u64("the trailer");
  if (std::memcmp(trailer.take(sizeof end_magic, "the trailer"), end_magic, sizeof end_magic) != 0) {
    throw CountFileError(path, size - sizeof end_magic, "does not end as a count file: it is cut off or damaged");
  }
  if (index_begin < head.at() || index_begin > size - trailer_size || index_size != size - trailer_size - index_begin) {
    throw CountFileError(path, size - trailer_size, "the index does not lie where it should");
  }
  if (checksum(bytes + index_begin, index_size) != index_checksum) {
    throw CountFileError(path, index_begin, "the checksum of the index is wrong: it is damaged");
  }
  Fields index(path, bytes, index_begin, index_begin + index_size);
  const std::uint32_t tables = index.u32("the index");
  std::uint32_t number = 0;
  for (std::uint32_t t = 0; t < tables; ++t) {
    const std::uint32_t kind = index.u32("a table's head");
    const std::uint32_t table_order = index.u32("a table's head");
    const bool whole = kind == static_cast<std::uint32_t>(TableKind::ngrams);
    if (kind > static_cast<std::uint32_t>(TableKind::history) || table_order < 1 || table_order > order ||
        (whole ? table_order != order : table_order == order)) {
      index.fail("no such table: kind " + std::to_string(kind) + ", order " + std::to_string(table_order));
    }
    for (const Table& other : result.tables) {
      if (static_cast<std::uint32_t>(other.kind) == kind && other.order == table_order) {
        index.fail("a table stands twice");
      }
    }
    const NgramKeys keys(table_order, vocab_size, result.head.groups);
    const std::uint64_t entries = index.u64("a table's head");
    const std::uint64_t count = index.u64("a table's head");
    if (count > index.left() / segment_entry_size) index.fail("more segments than the index has room for");
    std::vector<Segment> segments;
    segments.reserve(count);
    for (std::uint64_t s = 0; s < count; ++s) {
      const std::uint64_t low = index.u64("a segment");
      const WideKey first = WideKey{index.u64("a segment")} << 64 | low;
      const std::uint64_t segment_entries = index.u64("a segment");
      const std::uint64_t offset = index.u64("a segment");
      const std::uint64_t segment_size = index.u64("a segment");
      const std::uint64_t sum = index.u64("a segment");
      if (offset < head.at() || offset > index_begin || segment_size > index_begin - offset) {
        index.fail("a segment does not lie in the file");
      }
      // An entry takes two bytes at least.
      if (segment_entries < 1 || segment_entries > segment_size / 2) index.fail("a segment of impossible length");
      if (first >> keys.ngram_bits >= groups || (s > 0 && first <= segments.back().first_key)) {
        index.fail("the segments are not in order");
      }
      segments.push_back({first, segment_entries, offset, segment_size, file, sum, number++});
    }
    for (std::uint64_t s = 0; s < count; ++s) {
      const WideKey end_of_group = ((segments[s].first_key >> keys.ngram_bits) + 1) << keys.ngram_bits;
      file->expect(keys, s + 1 < count ? std::min(segments[s + 1].first_key, end_of_group) : end_of_group);
    }
    Run run;
    run.append(std::move(segments));
    if (run.entries != entries) index.fail("the segments do not hold as many n-grams as the table");
    run.in_memory = false;
    run.file = path;
    result.tables.push_back({static_cast<TableKind>(kind), table_order, std::move(run)});
  }
  if (index.left() != 0) index.fail("the index holds more than its tables");
  file->expect_no_more();
  return result;
}

FileSink::FileSink(std::string path, const NgramKeys& keys, FileLife life, std::shared_ptr<DiskGauge> gauge)
    : path_(path),
      order_(keys.order),
      life_(life),
      writer_(std::move(path), {keys.order, keys.vocab_size, {}, {}, keys.groups}, life, std::move(gauge)) {}

Run FileSink::finish(std::vector<Segment> segments) {
  writer_.add_table(TableKind::ngrams, order_, segments);
  writer_.close(false);
  Run run;
  run.append(std::move(segments));
  run.in_memory = false;
  if (life_ != FileLife::nameless) run.file = path_;
  return run;
}

}  // namespace mixlaw
