#include "mixlaw/run.hpp"

#include <iterator>

namespace mixlaw {

void Run::append(std::vector<Segment> more) {
  for (const Segment& segment : more) {
    entries += segment.entries;
    bytes += segment.size;
  }
  segments.insert(segments.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

std::vector<Segment> joined(std::vector<std::vector<Segment>> lists) {
  std::vector<Segment> all;
  for (auto& list : lists) {
    all.insert(all.end(), std::make_move_iterator(list.begin()), std::make_move_iterator(list.end()));
  }
  return all;
}

}  // namespace mixlaw
