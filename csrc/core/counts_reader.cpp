#include "mixlaw/counts_reader.hpp"

#include <algorithm>

namespace mixlaw {
namespace {

constexpr std::size_t rows_a_poll = std::size_t{1} << 20;

}  // namespace

void CountsReader::read(std::size_t rows, std::uint32_t* ngrams, std::uint64_t* counts, Work& work) {
  const WideKey token_mask = (WideKey{1} << keys_.token_bits) - 1;
  for (std::size_t done = 0; done < rows;) {
    const std::size_t stop = done + std::min(rows - done, rows_a_poll);
    read_ += stop - done;
    for (; done < stop; ++done, cursor_.next()) {
      for (unsigned t = keys_.order; t-- > 0;) {
        *ngrams++ = static_cast<std::uint32_t>(cursor_.key() >> (t * keys_.token_bits) & token_mask);
      }
      counts[done] = cursor_.count();
    }
    work.poll();
  }
}

}  // namespace mixlaw
