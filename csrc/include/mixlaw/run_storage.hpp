// Where the runs of a counter are kept: in memory as long as they fit, then in files.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "mixlaw/count_file.hpp"
#include "mixlaw/merge.hpp"
#include "mixlaw/run.hpp"
#include "mixlaw/run_memory.hpp"
#include "mixlaw/work.hpp"

namespace mixlaw {

class RunStorage {
 public:
  // Runs in memory hold at most so many bytes together, as far as this class decides; further ones become files in
  // `folder`. `life` is that of files whose counts may come to be saved: a process that ends leaves lasting ones
  // behind. What is only made to answer a question goes to nameless files.
  RunStorage(std::size_t most_memory, std::string folder, FileLife life);

  bool limited() const { return most_memory_ != std::numeric_limits<std::size_t>::max(); }
  std::size_t most_memory() const { return most_memory_; }
  std::size_t in_memory() const { return *memory_; }
  FileLife life() const { return life_; }
  DiskUse disk_use() const { return disk_->use(); }

  std::unique_ptr<RunSink> memory_sink() const { return std::make_unique<MemorySink>(memory_); }
  std::unique_ptr<RunSink> file_sink(const NgramKeys& keys, FileLife life);
  // In memory if a run of so many bytes fits there.
  std::unique_ptr<RunSink> sink(std::uint64_t most_bytes, const NgramKeys& keys, FileLife life);

  // All counts of the runs in one run.
  RunPtr merge(const std::vector<RunPtr>& runs, const NgramKeys& keys, FileLife life, Work& work);

  // The run in bytes of our own.
  RunPtr copy(const RunPtr& run, const NgramKeys& keys, Work& work);

  // Whether this is one of its lasting files.
  bool holds(const std::string& path) const;
  // Enters a lasting file that is there already.
  void enter_file(const std::string& path);
  // Removes all lasting files that were made or entered, but these.
  void keep_only(const std::vector<std::string>& paths);

 private:
  std::size_t most_memory_;
  std::string folder_;
  FileLife life_;
  MemoryGauge memory_ = make_gauge();
  std::shared_ptr<DiskGauge> disk_ = std::make_shared<DiskGauge>();
  std::vector<std::string> files_;  // lasting ones
  std::uint64_t next_ = 0;
};

}  // namespace mixlaw
