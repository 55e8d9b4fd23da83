#include <cstdint>
#include <vector>

#include "check.hpp"
#include "mixlaw/pending.hpp"
#include "mixlaw/tokens.hpp"
#include "streams.hpp"

namespace {

using namespace mixlaw;
using test::Stream;

// Tokens and borders, once more as they were given.
Stream held(const PendingDocuments& pending) {
  const Documents documents = pending.documents();
  Stream stream;
  stream.tokens.resize(documents.tokens.size);
  load_tokens(documents.tokens, 0, stream.tokens.size(), std::uint64_t{1} << 31, stream.tokens.data());
  stream.offsets.assign(documents.offsets, documents.offsets + documents.count + 1);
  check_documents(documents);
  return stream;
}

bool holds(const PendingDocuments& pending, const std::vector<std::uint32_t>& tokens,
           const std::vector<std::int64_t>& offsets) {
  const Stream stream = held(pending);
  return stream.tokens == tokens && stream.offsets == offsets &&
         pending.bytes() == PendingDocuments::bytes_for(tokens.size(), offsets.size());
}

const Stream five{{1, 2, 3, 4, 5}, {0, 0, 2, 2, 3, 5, 5}};

void test_documents_are_added_without_empty_ones() {
  PendingDocuments pending;
  CHECK(pending.empty() && holds(pending, {}, {0}));
  pending.add(five.documents(), 0, 5, 10);
  CHECK(!pending.empty() && holds(pending, {1, 2, 3, 4, 5}, {0, 2, 3, 5}));
  pending.add(five.documents(), 0, 5, 10);
  CHECK(holds(pending, {1, 2, 3, 4, 5, 1, 2, 3, 4, 5}, {0, 2, 3, 5, 7, 8, 10}));
  pending.add({{nullptr, 0, TokenType::u8}, five.offsets.data(), 0}, 0, 0, 10);
  CHECK(held(pending).tokens.size() == 10);
}

void test_documents_are_cut_at_the_range() {
  for (std::size_t begin = 0; begin <= 5; ++begin) {
    for (std::size_t end = begin; end <= 5; ++end) {
      PendingDocuments pending;
      pending.add(five.documents(), begin, end, 10);
      const Stream stream = held(pending);
      std::vector<std::int64_t> offsets{0};
      for (const std::int64_t border : {2, 3, 5}) {
        const auto place = std::min(static_cast<std::int64_t>(end), border) - static_cast<std::int64_t>(begin);
        if (place > offsets.back()) offsets.push_back(place);
      }
      CHECK(stream.offsets == offsets);
      CHECK(stream.tokens == std::vector<std::uint32_t>(five.tokens.begin() + static_cast<std::ptrdiff_t>(begin),
                                                        five.tokens.begin() + static_cast<std::ptrdiff_t>(end)));
    }
  }
}

void test_what_is_not_committed_can_be_taken_back() {
  PendingDocuments pending;
  pending.add(five.documents(), 0, 5, 10);
  pending.rollback();
  CHECK(pending.empty() && holds(pending, {}, {0}));
  pending.add(five.documents(), 0, 2, 10);
  pending.commit();
  pending.add(five.documents(), 2, 5, 10);
  pending.rollback();
  pending.rollback();
  CHECK(holds(pending, {1, 2}, {0, 2}));
  // A bad token at the end of an input.
  CHECK_THROWS(TokenError, "token 5 at position 4", pending.add(five.documents(), 0, 5, 5));
  pending.rollback();
  CHECK(holds(pending, {1, 2}, {0, 2}));
  pending.clear();
  pending.rollback();
  CHECK(pending.empty() && holds(pending, {}, {0}));
}

void test_room_is_kept_and_is_no_content() {
  PendingDocuments pending;
  pending.reserve(1271);
  CHECK(pending.empty() && pending.bytes() == PendingDocuments::bytes_for(0, 1));
  const std::uint32_t* const place = static_cast<const std::uint32_t*>(pending.documents().tokens.data);
  for (int i = 0; i < 20; ++i) pending.add(five.documents(), 0, 5, 10);
  CHECK(pending.documents().tokens.data == place);
}

}  // namespace

int main() {
  test_documents_are_added_without_empty_ones();
  test_documents_are_cut_at_the_range();
  test_what_is_not_committed_can_be_taken_back();
  test_room_is_kept_and_is_no_content();
  return mixlaw::test::finish();
}
