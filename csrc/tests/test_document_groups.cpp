#include <cstdint>
#include <numeric>
#include <vector>

#include "check.hpp"
#include "mixlaw/document_groups.hpp"
#include "streams.hpp"

namespace {

using namespace mixlaw;
using test::Stream;

// A stream of one token, in documents of so many.
Stream stream_of(const std::vector<std::size_t>& sizes) {
  Stream stream;
  stream.offsets.push_back(0);
  for (const std::size_t size : sizes)
    stream.offsets.push_back(stream.offsets.back() + static_cast<std::int64_t>(size));
  stream.tokens.resize(static_cast<std::size_t>(stream.offsets.back()), 7);
  return stream;
}

bool pieces_are(const Input& input, std::size_t most_history, const std::vector<Piece>& expected) {
  std::size_t i = 0;
  bool equal = true;
  for_each_piece(input, most_history, [&](const Piece& piece) {
    equal = equal && i < expected.size() && piece.begin == expected[i].begin && piece.end == expected[i].end &&
            piece.history == expected[i].history;
    ++i;
  });
  return equal && i == expected.size();
}

void test_documents_are_cut_into_pieces() {
  CHECK(pieces_are({stream_of({}).documents(), 0, nullptr}, 4, {}));
  const std::size_t p = piece_tokens;
  const Stream stream = stream_of({0, 1, p, 0, p + 1, 2 * p + 63});
  const std::size_t last = 2 * p + 2;
  for (const std::size_t history : {0u, 1u, 4u}) {
    CHECK(pieces_are({stream.documents(), 0, nullptr}, history,
                     {{0, 1, 0},
                      {1, p + 1, 0},
                      {p + 1, 2 * p + 1, 0},
                      {2 * p + 1, last, history},
                      {last, last + p, 0},
                      {last + p, last + 2 * p, history},
                      {last + 2 * p, last + 2 * p + 63, history}}));
  }
}

void test_history_is_not_part_of_a_piece() {
  const std::size_t p = piece_tokens;
  const Stream stream = stream_of({2, p + 3, 5});
  // The first document is history whole, the second begins with some.
  CHECK(pieces_are({stream.documents(), 4, nullptr}, 4, {{4, 4 + p, 2}, {4 + p, 5 + p, 4}, {5 + p, 10 + p, 0}}));
  const std::uint8_t histories[] = {1, 3, 5};
  CHECK(pieces_are({stream.documents(), 0, histories}, 2, {{1, 2, 1}, {5, 5 + p, 3}}));
}

void test_groups_are_always_the_same() {
  // Count files depend on them.
  Stream stream = stream_of({100000});
  std::iota(stream.tokens.begin(), stream.tokens.end(), 0u);
  const NgramKeys keys(2, 100000, 256);
  const auto group = [&](std::size_t begin, std::size_t end) {
    return group_of(stream.documents().tokens, {begin, end, 0}, keys);
  };
  CHECK(group(0, 1) == 195);
  CHECK(group(5, 12) == 231);
  CHECK(group(0, 33) == 23);
  CHECK(group(1271, 1271 + piece_tokens) == 99);
}

void test_groups_depend_on_the_tokens_of_the_piece_alone() {
  const std::vector<std::uint8_t> bytes{9, 9, 1, 2, 3, 250, 9, 1, 2, 3, 250};
  const std::vector<std::int64_t> wide{1, 2, 3, 250};
  for (const unsigned groups : {1u, 7u, 256u}) {
    const NgramKeys keys(2, 251, groups);
    const TokenArray narrow{bytes.data(), bytes.size(), TokenType::u8};
    const unsigned group = group_of(narrow, {2, 6, 0}, keys);
    CHECK(group < groups);
    CHECK(group == group_of(narrow, {7, 11, 5}, keys));
    CHECK(group == group_of({wide.data(), wide.size(), TokenType::i64}, {0, 4, 0}, keys));
  }
  CHECK_THROWS(TokenError, "250", group_of({wide.data(), wide.size(), TokenType::i64}, {0, 4, 0}, {2, 250, 7}));
}

void test_groups_are_of_like_size() {
  constexpr unsigned groups = 32;
  const NgramKeys keys(2, 50257, groups);
  std::vector<int> pieces(groups);
  for (std::uint32_t i = 0; i < 3200; ++i) {
    const std::uint32_t tokens[] = {i, 11, 12, 13};
    ++pieces[group_of({tokens, 4, TokenType::u32}, {0, 4, 0}, keys)];
  }
  // Of 100 on average, with a standard deviation of 10.
  for (const int count : pieces) CHECK(count > 50 && count < 150);
}

}  // namespace

int main() {
  test_documents_are_cut_into_pieces();
  test_history_is_not_part_of_a_piece();
  test_groups_are_always_the_same();
  test_groups_depend_on_the_tokens_of_the_piece_alone();
  test_groups_are_of_like_size();
  return mixlaw::test::finish();
}
