// Runs: n-grams with their counts, sorted and compressed. The form in which counts are kept and merged.
//
// An n-gram is one integer key, its tokens side by side, the first token highest; keys in ascending order are n-grams
// in lexicographic order. A run is a sequence of segments. A segment is a sequence of entries (varint of the key's
// distance from the key before it, varint of the count); the distance of its first entry is from 0, so that segments
// can be read on their own. All n-grams of a segment are of one group of documents.
//
// `Key` below is std::uint64_t or WideKey, whichever holds the keys of the run; the bytes are the same.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "mixlaw/kernels.hpp"
#include "mixlaw/ngram_keys.hpp"
#include "mixlaw/varint.hpp"

namespace mixlaw {

template <class Key>
struct Entry {
  Key key;
  std::uint64_t count;  // at least 1
};

struct Segment;

// Bytes that segments lie in: a stretch of memory, or a file.
class Holder {
 public:
  virtual ~Holder() = default;
  virtual const std::uint8_t* data() const = 0;
  // Throws CountFileError unless the bytes of the segment are what was written.
  virtual void check(const Segment& segment) const = 0;
  // The segment was read, and likely will not be soon: its pages need not stay in the process.
  virtual void leave(const Segment& segment) const = 0;
};

struct Segment {
  WideKey first_key;
  std::uint64_t entries;  // at least 1
  std::uint64_t offset;   // of its bytes in the holder
  std::uint64_t size;     // in bytes
  std::shared_ptr<const Holder> holder;
  // Where the holder is a file:
  std::uint64_t checksum = 0;  // of its bytes
  std::uint32_t number = 0;    // of the segments of the file

  const std::uint8_t* begin() const { return holder->data() + offset; }
  const std::uint8_t* end() const { return begin() + size; }
};

// Keys are distinct and ascend throughout. Runs are immutable once built, and shared.
struct Run {
  std::vector<Segment> segments;
  std::uint64_t entries = 0;
  std::uint64_t bytes = 0;
  bool in_memory = true;  // rather than in a file
  std::string file;       // its path, unless it is in memory or the file has lost its name

  void append(std::vector<Segment> more);  // whose keys are all above those that are here
};
using RunPtr = std::shared_ptr<const Run>;

// The segments of all lists, one list behind the other.
std::vector<Segment> joined(std::vector<std::vector<Segment>> lists);

// Takes the segments of a run that is being made.
class RunSink {
 public:
  virtual ~RunSink() = default;
  // Keeps a copy of the bytes. Safe for several threads.
  virtual Segment keep(WideKey first_key, std::uint64_t entries, const std::uint8_t* bytes, std::size_t size) = 0;
  // Makes a run of segments that were kept, in the order of their keys. Nothing can be kept after that.
  virtual Run finish(std::vector<Segment> segments) = 0;
};

// Builds segments from entries in ascending order of key, to each of which it adds `base`.
template <class Key>
class RunWriter {
 public:
  explicit RunWriter(RunSink& sink, Key base = 0) : sink_(sink), base_(base), previous_(0 - base) {}

  // Writes entry(0), ..., entry(n - 1), leaving out those whose count is 0.
  template <class EntryAt>
  void write_each(std::size_t n, EntryAt&& entry) {
    for (std::size_t from = 0; from < n; from += stretch) {
      const std::size_t to = from + std::min(n - from, stretch);
      // Local copies: the bytes written might, for all the compiler knows, be the members.
      std::uint8_t* out = reserve();
      Key previous = previous_;
      const std::uint8_t* const before = out;
      std::uint64_t written = 0;
      for (std::size_t i = from; i < to; ++i) {
        const Entry<Key> next = entry(i);
        if (next.count == 0) continue;
        if (out == before) note_first(next.key);
        out = put_varint(put_varint(out, static_cast<Key>(next.key - previous)), next.count);
        previous = next.key;
        ++written;
      }
      end_ = out;
      previous_ = previous;
      entries_ += written;
    }
  }
  void write(Key key, std::uint64_t count) {
    write_each(1, [=](std::size_t) { return Entry<Key>{key, count}; });
  }

  // Writes the entries of keys base + lows[0], ..., base + lows[n - 1], whose counts are at least 1.
  void write_row(Key base, const std::uint32_t* lows, const std::uint32_t* counts, std::size_t n) {
    for (std::size_t from = 0; from < n;) {
      const std::size_t to = from + std::min(n - from, stretch);
      // The first makes room for the others.
      write(base + lows[from], counts[from]);
      if (++from == to) continue;
      end_ = kernels().put_entries(end_, lows + from - 1, counts + from, to - from);
      previous_ = base + lows[to - 1];
      entries_ += to - from;
      from = to;
    }
  }

  // Gives the segments away and begins anew.
  std::vector<Segment> finish() {
    if (entries_ > 0) close_segment();
    return std::exchange(segments_, {});
  }

 private:
  // Entries that are written without looking at the room that is left.
  static constexpr std::size_t stretch = 2048;
  // Segments are at least this long, but for the last of a sequence: short enough to seek in, long enough to cost
  // nothing.
  static constexpr std::size_t segment_bytes = std::size_t{1} << 16;
  // One byte more than two varints, because put_varint may scribble on it.
  static constexpr std::size_t entry_bytes = max_varint_size<Key> + max_varint_size<std::uint64_t> + 1;

  // Where the next entry goes; there is room for a stretch.
  std::uint8_t* reserve() {
    if (buffer_.empty()) {
      buffer_.resize(segment_bytes + stretch * entry_bytes);
      end_ = buffer_.data();
    }
    if (static_cast<std::size_t>(end_ - buffer_.data()) >= segment_bytes) close_segment();
    return end_;
  }
  void note_first(Key key) {
    if (entries_ == 0) first_key_ = base_ + key;
  }
  void close_segment() {
    segments_.push_back(
        sink_.keep(first_key_, entries_, buffer_.data(), static_cast<std::size_t>(end_ - buffer_.data())));
    end_ = buffer_.data();
    previous_ = 0 - base_;
    entries_ = 0;
  }

  RunSink& sink_;
  Key base_;
  std::vector<std::uint8_t> buffer_;
  std::uint8_t* end_ = nullptr;
  Key previous_;
  Key first_key_ = 0;
  std::uint64_t entries_ = 0;
  std::vector<Segment> segments_;
};

// Segments of a run that are looked at in another way: keys less `base`, shifted right by so many bits; so n-grams lose
// their group and their last tokens, and may repeat.
struct RunView {
  RunPtr run;
  std::size_t first_segment;
  std::size_t last_segment;  // behind the last one
  WideKey base;
  unsigned shift;
  unsigned group;
};

// The run as it is.
inline RunView whole(RunPtr run) {
  const std::size_t segments = run->segments.size();
  return {std::move(run), 0, segments, 0, 0, 0};
}

// Walks the entries of a view from a given key on. The run must outlive it.
template <class Key>
class RunCursor {
 public:
  // The key of a cursor at the end, above every real key.
  static constexpr Key end_key = ~Key{0};

  // Stands on the first entry whose key is at least `from`.
  RunCursor(const RunView& view, Key from)
      : segment_(view.run->segments.data() + view.first_segment),
        last_(view.run->segments.data() + view.last_segment),
        base_(static_cast<Key>(view.base)),
        shift_(view.shift) {
    // Of the segments that begin below `from`, the last may hold it: equal keys may lie on both sides of a border.
    const Segment* const not_below = std::lower_bound(
        segment_, last_, from, [this](const Segment& segment, Key key) { return key_of(segment) < key; });
    if (not_below != segment_) segment_ = not_below - 1;
    do {
      next();
    } while (key_ < from);
  }

  Key key() const { return key_; }
  std::uint64_t count() const { return count_; }  // not at the end
  void next() {
    if (in_ == end_ && !open_next_segment()) {
      key_ = end_key;
      return;
    }
    std::uint32_t step;
    std::uint32_t count;
    if (get_short_entry(in_, end_, step, count)) {
      whole_key_ += step;
      count_ = count;
    } else {
      whole_key_ += get_varint<Key>(in_);
      count_ = get_varint<std::uint64_t>(in_);
    }
    key_ = whole_key_ >> shift_;
  }

 private:
  bool open_next_segment() {
    if (in_ != nullptr) segment_[-1].holder->leave(segment_[-1]);
    if (segment_ == last_) return false;
    segment_->holder->check(*segment_);
    in_ = segment_->begin();
    end_ = segment_->end();
    whole_key_ = 0 - base_;
    ++segment_;
    return true;
  }

  Key key_of(const Segment& segment) const {
    return static_cast<Key>(static_cast<Key>(segment.first_key) - base_) >> shift_;
  }

  const Segment* segment_;  // the next to open
  const Segment* last_;     // behind the last
  Key base_;
  unsigned shift_;
  const std::uint8_t* in_ = nullptr;
  const std::uint8_t* end_ = nullptr;
  Key whole_key_ = 0;
  Key key_ = 0;
  std::uint64_t count_ = 0;
};

}  // namespace mixlaw
