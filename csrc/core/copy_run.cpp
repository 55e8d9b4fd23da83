#include "mixlaw/copy_run.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "mixlaw/run_memory.hpp"

namespace mixlaw {
namespace {

// A segment begins with every so many entries of a group, so that the entries between can be written by themselves.
constexpr std::uint64_t part_entries = std::uint64_t{1} << 17;
// Parts are held in memory before they are put in order: so many for each thread, and about so many bytes of all.
constexpr std::size_t parts_a_thread = 2;
constexpr std::uint64_t most_bytes = std::uint64_t{1} << 23;

// Entries that lie side by side, from one of a segment on.
struct Part {
  std::size_t first_segment;
  std::uint64_t skipped;  // entries of that segment
  std::uint64_t entries;
};

std::vector<Part> parts_of(const Run& run, const NgramKeys& keys) {
  std::vector<Part> parts;
  WideKey group = 0;
  std::uint64_t room = 0;
  for (std::size_t s = 0; s < run.segments.size(); ++s) {
    const Segment& segment = run.segments[s];
    const WideKey group_before = std::exchange(group, segment.first_key >> keys.ngram_bits);
    if (group != group_before) room = 0;
    for (std::uint64_t done = 0; done < segment.entries;) {
      if (room == 0) {
        parts.push_back({s, done, 0});
        room = part_entries;
      }
      const std::uint64_t taken = std::min(room, segment.entries - done);
      parts.back().entries += taken;
      room -= taken;
      done += taken;
    }
  }
  return parts;
}

template <class Key>
std::vector<Segment> write_part(const RunPtr& run, const Part& part, RunSink& sink) {
  RunCursor<Key> cursor({run, part.first_segment, run->segments.size(), 0, 0, 0}, 0);
  for (std::uint64_t i = 0; i < part.skipped; ++i) cursor.next();
  RunWriter<Key> writer(sink);
  writer.write_each(part.entries, [&cursor](std::size_t) {
    const Entry<Key> entry{cursor.key(), cursor.count()};
    cursor.next();
    return entry;
  });
  return writer.finish();
}

}  // namespace

Run copy_run(const RunPtr& run, const NgramKeys& keys, RunSink& sink, Work& work) {
  const std::vector<Part> parts = parts_of(*run, keys);
  const std::uint64_t part_bytes = run->bytes / std::max<std::uint64_t>(parts.size(), 1) + 1;
  const std::size_t at_once =
      std::clamp<std::uint64_t>(most_bytes / part_bytes, 1, std::uint64_t{parts_a_thread} * work.threads());
  std::vector<Segment> kept;
  for (std::size_t first = 0; first < parts.size(); first += at_once) {
    MemorySink waiting(make_gauge());
    std::vector<std::vector<Segment>> written(std::min(at_once, parts.size() - first));
    work.for_each(written.size(), [&](unsigned, std::size_t i) {
      written[i] = keys.wide() ? write_part<WideKey>(run, parts[first + i], waiting)
                               : write_part<std::uint64_t>(run, parts[first + i], waiting);
    });
    for (const Segment& segment : joined(std::move(written))) {
      kept.push_back(sink.keep(segment.first_key, segment.entries, segment.begin(), segment.size));
    }
  }
  return sink.finish(std::move(kept));
}

}  // namespace mixlaw
