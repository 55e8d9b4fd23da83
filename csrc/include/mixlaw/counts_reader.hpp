// Reading counts out of a run, a number of rows at a time.
#pragma once

#include <cstddef>
#include <cstdint>

#include "mixlaw/ngram_keys.hpp"
#include "mixlaw/run.hpp"
#include "mixlaw/work.hpp"

namespace mixlaw {

// Keeps the run alive. Not safe for several threads.
class CountsReader {
 public:
  CountsReader(RunPtr run, const NgramKeys& keys) : run_(std::move(run)), keys_(keys), cursor_(whole(run_), 0) {}

  // Rows not read yet.
  std::uint64_t left() const { return run_->entries - read_; }
  unsigned order() const { return keys_.order; }

  // Writes the next `rows` <= left() rows: n-grams, order() tokens each, in lexicographic order, and their counts. When
  // it throws Interrupted, it has moved on to some later row.
  void read(std::size_t rows, std::uint32_t* ngrams, std::uint64_t* counts, Work& work);

 private:
  RunPtr run_;
  NgramKeys keys_;
  RunCursor<WideKey> cursor_;
  std::uint64_t read_ = 0;
};

}  // namespace mixlaw
