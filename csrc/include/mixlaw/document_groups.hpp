// Groups of documents. Each is counted apart, so that counts can be weighted by group.
#pragma once

#include <algorithm>
#include <cstddef>

#include "mixlaw/ngram_keys.hpp"
#include "mixlaw/pending.hpp"
#include "mixlaw/tokens.hpp"

namespace mixlaw {

// Longer documents are cut into pieces, each of which may be of another group.
inline constexpr std::size_t piece_tokens = std::size_t{1} << 16;

// A stretch of the tokens of an input that is counted in one group.
struct Piece {
  std::size_t begin;  // behind its history
  std::size_t end;
  std::size_t history;  // so many tokens
};

// Calls use(piece) for all pieces of the documents, in order. Of what stands before it in its document, a piece has up
// to `most_history` tokens as history.
template <class Use>
void for_each_piece(const Input& input, std::size_t most_history, Use&& use) {
  for (std::size_t d = 0; d < input.documents.count; ++d) {
    std::size_t history = input.history(d);
    std::size_t begin = input.begin(d) + history;
    while (begin < input.end(d)) {
      const std::size_t end = std::min(begin + piece_tokens, input.end(d));
      use(Piece{begin, end, history});
      history = std::min(end - input.begin(d), most_history);
      begin = end;
    }
  }
}

// The group of a piece, by a hash of its length and of the tokens at its beginning, middle and end. Throws TokenError
// for one of those outside the vocabulary.
unsigned group_of(const TokenArray& tokens, const Piece& piece, const NgramKeys& keys);

}  // namespace mixlaw
