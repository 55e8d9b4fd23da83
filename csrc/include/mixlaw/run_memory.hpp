// Runs in memory.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "mixlaw/run.hpp"

namespace mixlaw {

// How many bytes of memory runs hold together.
using MemoryGauge = std::shared_ptr<std::atomic<std::size_t>>;
MemoryGauge make_gauge();

// Keeps segments in slabs that are taken from the system and given back to it: memory that is free is free at once.
class MemorySink : public RunSink {
 public:
  explicit MemorySink(MemoryGauge gauge) : gauge_(std::move(gauge)) {}

  Segment keep(WideKey first_key, std::uint64_t entries, const std::uint8_t* bytes, std::size_t size) override;
  Run finish(std::vector<Segment> segments) override;

 private:
  class Slab;

  MemoryGauge gauge_;
  std::mutex mutex_;
  std::shared_ptr<Slab> slab_;
};

}  // namespace mixlaw
