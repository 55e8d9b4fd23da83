// A growing set of runs that stays small: runs of like size are merged eight at a time.
#pragma once

#include <utility>
#include <vector>

#include "mixlaw/ngram_keys.hpp"
#include "mixlaw/run.hpp"
#include "mixlaw/run_storage.hpp"
#include "mixlaw/work.hpp"

namespace mixlaw {

// The counts it stands for are the sums over its runs. If a call throws, it stands for what it stood for before.
class RunStack {
 public:
  static constexpr std::size_t fan_in = 8;

  RunStack(const NgramKeys& keys, RunStorage& storage) : keys_(keys), storage_(storage) {}

  const NgramKeys& keys() const { return keys_; }
  const std::vector<RunPtr>& runs() const { return runs_; }
  // Bytes of the runs that are in memory.
  std::uint64_t in_memory() const;

  void push(Run run);
  void push(const std::vector<RunPtr>& runs);
  void replace(std::vector<RunPtr> runs) noexcept { runs_ = std::move(runs); }
  void clear() noexcept { runs_.clear(); }
  // Merges runs until fewer than fan_in are left of any size class, so that every count is merged about log8(runs)
  // times.
  void compact(Work& work);
  // Merges all runs into one and gives it, to answer a question.
  RunPtr merge(Work& work);
  // Merges all runs that are in memory into a file.
  void spill(FileLife life, Work& work);
  // Merges all runs that are not in lasting files of the storage into one.
  void save(Work& work);

 private:
  template <class Wanted>
  void merge_into_file(Wanted&& wanted, FileLife life, Work& work);

  NgramKeys keys_;
  RunStorage& storage_;
  std::vector<RunPtr> runs_;  // none of them empty
};

}  // namespace mixlaw
