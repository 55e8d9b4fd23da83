#include "mixlaw/run_memory.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

namespace mixlaw {
namespace {

constexpr std::size_t slab_bytes = std::size_t{1} << 20;

std::size_t whole_pages(std::size_t bytes) {
  static const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

}  // namespace

MemoryGauge make_gauge() { return std::make_shared<std::atomic<std::size_t>>(0); }

class MemorySink::Slab : public Holder {
 public:
  Slab(std::size_t size, MemoryGauge gauge) : size_(whole_pages(size)), gauge_(std::move(gauge)) {
    void* const memory = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    memory_ = static_cast<std::uint8_t*>(memory);
    *gauge_ += size_;
  }
  ~Slab() override {
    munmap(memory_, size_);
    *gauge_ -= size_;
  }
  Slab(const Slab&) = delete;
  Slab& operator=(const Slab&) = delete;

  const std::uint8_t* data() const override { return memory_; }
  void check(const Segment&) const override {}
  void leave(const Segment&) const override {}

  std::size_t room() const { return size_ - used_; }
  // Where the bytes lie in the slab. Requires as much room.
  std::size_t append(const std::uint8_t* bytes, std::size_t size) {
    std::memcpy(memory_ + used_, bytes, size);
    return std::exchange(used_, used_ + size);
  }
  // Gives back what is not used, and that is something: an empty slab is never made.
  void trim() {
    const std::size_t kept = whole_pages(used_);
    if (kept == size_) return;
    munmap(memory_ + kept, size_ - kept);
    *gauge_ -= size_ - kept;
    size_ = kept;
  }

 private:
  std::uint8_t* memory_;
  std::size_t size_;
  std::size_t used_ = 0;
  MemoryGauge gauge_;
};

Segment MemorySink::keep(WideKey first_key, std::uint64_t entries, const std::uint8_t* bytes, std::size_t size) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!slab_ || slab_->room() < size) {
    if (slab_) slab_->trim();
    slab_.reset();
    slab_ = std::make_shared<Slab>(std::max(size, slab_bytes), gauge_);
  }
  const std::size_t offset = slab_->append(bytes, size);
  return {first_key, entries, offset, size, slab_};
}

Run MemorySink::finish(std::vector<Segment> segments) {
  if (slab_) slab_->trim();
  Run run;
  run.append(std::move(segments));
  return run;
}

}  // namespace mixlaw
