// Sums of counts that are exact or an error. Only a count file that is wrong can lead to the error.
#pragma once

#include <stdexcept>

namespace mixlaw {

// Throws std::overflow_error where the sum has more bits than Count.
template <class Count>
void add_count(Count& sum, Count count) {
  if (__builtin_add_overflow(sum, count, &sum)) throw std::overflow_error("an n-gram is counted too often");
}

// Throws std::invalid_argument where the sum is less than the count.
template <class Count>
void subtract_count(Count& sum, Count count) {
  if (__builtin_sub_overflow(sum, count, &sum)) {
    throw std::invalid_argument("more of an n-gram is history than was counted: a count file is wrong");
  }
}

}  // namespace mixlaw
