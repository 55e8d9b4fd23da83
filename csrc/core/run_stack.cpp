#include "mixlaw/run_stack.hpp"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>

namespace mixlaw {
namespace {

// Runs whose numbers of entries have the same leading digit place in base 8 are of one class.
unsigned size_class(const Run& run) {
  unsigned digits = 0;
  for (std::uint64_t entries = run.entries; entries >= RunStack::fan_in; entries /= RunStack::fan_in) ++digits;
  return digits;
}

}  // namespace

std::uint64_t RunStack::in_memory() const {
  std::uint64_t bytes = 0;
  for (const RunPtr& run : runs_) bytes += run->in_memory ? run->bytes : 0;
  return bytes;
}

void RunStack::push(Run run) {
  if (run.entries > 0) runs_.push_back(std::make_shared<const Run>(std::move(run)));
}

void RunStack::push(const std::vector<RunPtr>& runs) { runs_.insert(runs_.end(), runs.begin(), runs.end()); }

void RunStack::compact(Work& work) {
  // A merged run may be of a higher class and complete the eight there; 64 bits have 22 digits in base 8.
  for (unsigned wanted = 0; wanted < 22; ++wanted) {
    for (;;) {
      std::vector<RunPtr> alike;
      std::vector<RunPtr> others;
      for (const RunPtr& run : runs_) {
        (alike.size() < fan_in && size_class(*run) == wanted ? alike : others).push_back(run);
      }
      if (alike.size() < fan_in) break;
      others.push_back(storage_.merge(alike, keys_, storage_.life(), work));
      runs_ = std::move(others);
    }
  }
}

RunPtr RunStack::merge(Work& work) {
  if (runs_.empty()) return std::make_shared<const Run>();
  if (runs_.size() > 1) runs_ = {storage_.merge(runs_, keys_, FileLife::nameless, work)};
  return runs_.front();
}

template <class Wanted>
void RunStack::merge_into_file(Wanted&& wanted, FileLife life, Work& work) {
  std::vector<RunPtr> chosen;
  std::vector<RunPtr> others;
  for (const RunPtr& run : runs_) (wanted(*run) ? chosen : others).push_back(run);
  if (chosen.empty()) return;
  const auto sink = storage_.file_sink(keys_, life);
  others.push_back(std::make_shared<const Run>(merge_runs(sources_of(chosen, keys_), keys_, *sink, work)));
  runs_ = std::move(others);
}

void RunStack::spill(FileLife life, Work& work) {
  merge_into_file([](const Run& run) { return run.in_memory; }, life, work);
}

void RunStack::save(Work& work) {
  merge_into_file([this](const Run& run) { return !storage_.holds(run.file); }, FileLife::lasting, work);
}

}  // namespace mixlaw
