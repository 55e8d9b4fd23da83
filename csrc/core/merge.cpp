#include "mixlaw/merge.hpp"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <utility>

#include "mixlaw/row.hpp"

namespace mixlaw {
namespace {

// Compressed input of one task: some milliseconds of work.
constexpr std::size_t task_bytes = std::size_t{1} << 22;
constexpr std::size_t entries_at_once = 1024;
constexpr std::size_t steps_a_poll = std::size_t{1} << 16;

// Keys that cut the views into ranges of about task_bytes each; begins with 0 and ends with end_key. They are multiples
// of 2^whole_bits.
template <class Key>
std::vector<Key> cut(const Sources& sources, unsigned whole_bits) {
  std::vector<std::pair<Key, std::size_t>> starts;
  for (const RunView& view : sources.plus) {
    for (const Segment& segment : view.run->segments) {
      const auto key = static_cast<Key>(segment.first_key >> view.shift);
      starts.emplace_back(key >> whole_bits << whole_bits, segment.size);
    }
  }
  std::sort(starts.begin(), starts.end());
  std::vector<Key> cuts{0};
  std::size_t bytes = 0;
  for (const auto& [key, size] : starts) {
    if (bytes >= task_bytes && key > cuts.back()) {
      cuts.push_back(key);
      bytes = 0;
    }
    bytes += size;
  }
  cuts.push_back(RunCursor<Key>::end_key);
  return cuts;
}

template <class Key>
std::vector<RunCursor<Key>> cursors_at(const std::vector<RunView>& views, Key from) {
  std::vector<RunCursor<Key>> cursors;
  cursors.reserve(views.size());
  for (const RunView& view : views) cursors.emplace_back(view, from);
  return cursors;
}

// Merges the keys of [from, to), and calls use(base) for every row, or part of one, that `row` then holds and use
// empties.
template <class Key, class Use>
void for_each_row(const Sources& sources, Key from, Key to, unsigned low_bits, Row<std::uint64_t>& row, Use&& use) {
  std::vector<RunCursor<Key>> adding = cursors_at(sources.plus, from);
  std::vector<RunCursor<Key>> taking = cursors_at(sources.minus, from);
  const Key low_mask = (Key{1} << low_bits) - 1;
  for (;;) {
    Key least = RunCursor<Key>::end_key;
    for (const RunCursor<Key>& cursor : adding) least = std::min(least, cursor.key());
    if (least >= to) return;
    const Key base = least & ~low_mask;
    const Key end = std::min<Key>(base + low_mask + 1, to);
    for (RunCursor<Key>& cursor : adding) {
      for (; cursor.key() < end; cursor.next()) {
        row.add(static_cast<std::uint32_t>(cursor.key() & low_mask), cursor.count());
      }
    }
    for (RunCursor<Key>& cursor : taking) {
      for (; cursor.key() < end; cursor.next()) {
        row.subtract(static_cast<std::uint32_t>(cursor.key() & low_mask), cursor.count());
      }
    }
    use(base);
  }
}

// Cursors in the order of their keys.
template <class Key>
class Tournament {
 public:
  explicit Tournament(std::vector<RunCursor<Key>> cursors) : cursors_(std::move(cursors)) {
    while (leaves_ < cursors_.size()) leaves_ *= 2;
    keys_.resize(leaves_, RunCursor<Key>::end_key);
    for (std::size_t i = 0; i < cursors_.size(); ++i) keys_[i] = cursors_[i].key();
    winners_.resize(2 * leaves_);
    for (std::size_t i = 0; i < leaves_; ++i) winners_[leaves_ + i] = static_cast<std::uint32_t>(i);
    for (std::size_t node = leaves_; node-- > 1;) play(node);
  }

  // The least key of all cursors, and which cursor stands there.
  Key key() const { return keys_[first()]; }
  std::uint32_t first() const { return winners_[1]; }
  std::uint64_t count() const { return cursors_[first()].count(); }
  void next() {
    const std::uint32_t moved = first();
    cursors_[moved].next();
    keys_[moved] = cursors_[moved].key();
    for (std::size_t node = (leaves_ + moved) / 2; node > 0; node /= 2) play(node);
  }

 private:
  void play(std::size_t node) {
    const std::uint32_t left = winners_[2 * node];
    const std::uint32_t right = winners_[2 * node + 1];
    winners_[node] = keys_[right] < keys_[left] ? right : left;
  }

  std::vector<RunCursor<Key>> cursors_;
  std::size_t leaves_ = 2;
  std::vector<Key> keys_;
  std::vector<std::uint32_t> winners_;  // of the cursors below each node; node 1 is above all
};

// Merges the keys of [from, to), and calls use(entries, n) with their counts, some at a time, in order.
template <class Key, class Use>
void for_each_entries(const Sources& sources, Key from, Key to, Use&& use) {
  std::vector<RunCursor<Key>> cursors = cursors_at(sources.plus, from);
  const auto adding = static_cast<std::uint32_t>(cursors.size());
  for (RunCursor<Key>& cursor : cursors_at(sources.minus, from)) cursors.push_back(cursor);
  Tournament<Key> tournament(std::move(cursors));
  std::vector<Entry<Key>> entries(entries_at_once);
  std::size_t n = 0;
  for (Key key = tournament.key(); key < to; key = tournament.key()) {
    std::uint64_t sum = 0;
    do {
      const std::uint64_t count = tournament.count();
      sum += tournament.first() < adding ? count : 0 - count;
      tournament.next();
    } while (tournament.key() == key);
    entries[n] = {key, sum};
    n += static_cast<std::size_t>(sum != 0);
    if (n == entries.size()) use(entries.data(), std::exchange(n, 0));
  }
  use(entries.data(), n);
}

// A row for each thread that comes to need one.
class Rows {
 public:
  Rows(const NgramKeys& keys, const Work& work) : low_bits_(keys.low_bits), rows_(work.threads()) {}

  Row<std::uint64_t>& of(unsigned worker) {
    if (!rows_[worker]) rows_[worker] = std::make_unique<Row<std::uint64_t>>(low_bits_);
    return *rows_[worker];
  }

 private:
  unsigned low_bits_;
  std::vector<std::unique_ptr<Row<std::uint64_t>>> rows_;
};

std::vector<Segment> joined(std::vector<std::vector<Segment>> lists) {
  std::vector<Segment> all;
  for (auto& list : lists) {
    all.insert(all.end(), std::make_move_iterator(list.begin()), std::make_move_iterator(list.end()));
  }
  return all;
}

template <class Key>
Run merge_as(const Sources& sources, const NgramKeys& keys, RunSink& sink, Work& work) {
  const std::vector<Key> cuts = cut<Key>(sources, 0);
  std::vector<std::vector<Segment>> merged(cuts.size() - 1);
  Rows rows(keys, work);
  work.for_each(merged.size(), [&](unsigned worker, std::size_t task) {
    RunWriter<Key> writer(sink);
    if (keys.sparse()) {
      for_each_entries<Key>(sources, cuts[task], cuts[task + 1], [&](const Entry<Key>* entries, std::size_t n) {
        writer.write_each(n, [=](std::size_t i) { return entries[i]; });
      });
    } else {
      Row<std::uint64_t>& row = rows.of(worker);
      for_each_row<Key>(sources, cuts[task], cuts[task + 1], keys.low_bits, row,
                        [&](Key base) { row.write(writer, base); });
    }
    merged[task] = writer.finish();
  });
  return sink.finish(joined(std::move(merged)));
}

// Writes how often n-grams without their last token occur, from counts of n-grams in ascending order.
template <class Key>
class PrefixWriter {
 public:
  PrefixWriter(RunSink& sink, unsigned token_bits) : writer_(sink), token_bits_(token_bits) {}

  void add(Key key, std::uint64_t count) {
    const Key prefix = key >> token_bits_;
    if (prefix != prefix_) {
      writer_.write(prefix_, count_);
      prefix_ = prefix;
      count_ = 0;
    }
    count_ += count;
  }
  std::vector<Segment> finish() {
    writer_.write(prefix_, count_);
    return writer_.finish();
  }

 private:
  RunWriter<Key> writer_;
  unsigned token_bits_;
  Key prefix_ = 0;
  std::uint64_t count_ = 0;
};

// With a sink, prefixes as well.
template <class Key>
Summary summarize_as(const Sources& sources, const NgramKeys& keys, RunSink* sink, Work& work) {
  const std::vector<Key> cuts = cut<Key>(sources, sink == nullptr ? 0 : keys.token_bits);
  std::vector<CountTally> tallies(work.threads());
  std::vector<std::vector<Segment>> prefixes(cuts.size() - 1);
  Rows rows(keys, work);
  work.for_each(prefixes.size(), [&](unsigned worker, std::size_t task) {
    CountTally& tally = tallies[worker];
    std::optional<PrefixWriter<Key>> writer;
    if (sink != nullptr) writer.emplace(*sink, keys.token_bits);
    if (keys.sparse()) {
      for_each_entries<Key>(sources, cuts[task], cuts[task + 1], [&](const Entry<Key>* entries, std::size_t n) {
        for (std::size_t i = 0; i < n; ++i) {
          tally.add(entries[i].count);
          if (writer) writer->add(entries[i].key, entries[i].count);
        }
      });
    } else {
      Row<std::uint64_t>& row = rows.of(worker);
      for_each_row<Key>(sources, cuts[task], cuts[task + 1], keys.low_bits, row, [&](Key base) {
        std::uint64_t sum = 0;
        row.drain([&](std::uint64_t count) {
          tally.add(count);
          sum += count;
        });
        if (writer) writer->add(base, sum);
      });
    }
    if (writer) prefixes[task] = writer->finish();
  });
  Summary summary;
  summary.counts = count_of_counts(tallies);
  if (sink != nullptr) summary.prefixes = sink->finish(joined(std::move(prefixes)));
  return summary;
}

template <class Key>
Difference difference_as(const RunPtr& a, const RunPtr& b, RunSink& above, RunSink& below, Work& work) {
  RunCursor<Key> in_a({a, 0}, 0);
  RunCursor<Key> in_b({b, 0}, 0);
  RunWriter<Key> to_above(above);
  RunWriter<Key> to_below(below);
  for (std::size_t steps = 0;; ++steps) {
    if (steps % steps_a_poll == 0) work.poll();
    const Key key = std::min(in_a.key(), in_b.key());
    if (key == RunCursor<Key>::end_key) break;
    const std::uint64_t of_a = in_a.key() == key ? in_a.count() : 0;
    const std::uint64_t of_b = in_b.key() == key ? in_b.count() : 0;
    to_above.write(key, of_a - std::min(of_a, of_b));
    to_below.write(key, of_b - std::min(of_a, of_b));
    if (in_a.key() == key) in_a.next();
    if (in_b.key() == key) in_b.next();
  }
  return {above.finish(to_above.finish()), below.finish(to_below.finish())};
}

void add_views(std::vector<RunView>& views, const std::vector<RunPtr>& runs, unsigned shift) {
  for (const RunPtr& run : runs) views.push_back({run, shift});
}

}  // namespace

void Sources::add(const std::vector<RunPtr>& runs, const NgramKeys& keys, unsigned longer) {
  add_views(plus, runs, longer * keys.token_bits);
  wide = wide || keys.wide();
}

void Sources::subtract(const std::vector<RunPtr>& runs, const NgramKeys& keys, unsigned longer) {
  add_views(minus, runs, longer * keys.token_bits);
  wide = wide || keys.wide();
}

Sources sources_of(const std::vector<RunPtr>& runs, const NgramKeys& keys) {
  Sources sources;
  sources.add(runs, keys);
  return sources;
}

Run merge_runs(const Sources& sources, const NgramKeys& keys, RunSink& sink, Work& work) {
  return sources.wide ? merge_as<WideKey>(sources, keys, sink, work)
                      : merge_as<std::uint64_t>(sources, keys, sink, work);
}

CountOfCounts tally(const Sources& sources, const NgramKeys& keys, Work& work) {
  return sources.wide ? summarize_as<WideKey>(sources, keys, nullptr, work).counts
                      : summarize_as<std::uint64_t>(sources, keys, nullptr, work).counts;
}

Summary summarize(const Sources& sources, const NgramKeys& keys, RunSink& prefix_sink, Work& work) {
  return sources.wide ? summarize_as<WideKey>(sources, keys, &prefix_sink, work)
                      : summarize_as<std::uint64_t>(sources, keys, &prefix_sink, work);
}

Difference difference(const RunPtr& a, const RunPtr& b, const NgramKeys& keys, RunSink& above, RunSink& below,
                      Work& work) {
  return keys.wide() ? difference_as<WideKey>(a, b, above, below, work)
                     : difference_as<std::uint64_t>(a, b, above, below, work);
}

}  // namespace mixlaw
