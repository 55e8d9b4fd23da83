// How calls of a counter take turns and change it.
#pragma once

#include <chrono>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "mixlaw/ngram_counter.hpp"

namespace mixlaw {

// Holds the counter for one call.
class NgramCounter::Turn {
 public:
  Turn(NgramCounter& counter, Work& work) : counter_(counter) {
    const std::thread::id self = std::this_thread::get_id();
    std::unique_lock<std::mutex> lock(counter.mutex_);
    if (counter.holder_ == self) throw std::runtime_error("the counter is at work on another call of this thread");
    while (!counter.turn_ends_.wait_for(lock, turn_interval, [&] { return counter.holder_ == std::thread::id(); })) {
      lock.unlock();
      work.poll();
      lock.lock();
    }
    counter.holder_ = self;
  }
  ~Turn() {
    {
      const std::lock_guard<std::mutex> lock(counter_.mutex_);
      counter_.holder_ = std::thread::id();
    }
    counter_.turn_ends_.notify_one();
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  static constexpr std::chrono::milliseconds turn_interval{50};

  NgramCounter& counter_;
};

// Rolls back what was staged unless it was committed.
class NgramCounter::Change {
 public:
  explicit Change(NgramCounter& counter) : counter_(counter) {}
  ~Change() {
    if (committed_) return;
    for (Store* store : counter_.stores()) store->staged.clear();
    counter_.pending_.rollback();
  }
  Change(const Change&) = delete;
  Change& operator=(const Change&) = delete;

  void commit(const Totals& totals) {
    counter_.commit_staged();
    counter_.pending_.commit();
    counter_.totals_ = totals;
    counter_.known_.reset();
    committed_ = true;
  }

 private:
  NgramCounter& counter_;
  bool committed_ = false;
};

}  // namespace mixlaw
